"""The files of a release: each image as it was audited, or encoded anew, with its mark."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from synthface.core.errors import DataError
from synthface.core.hashing import canonical_json, sha256_bytes
from synthface.data import FaceRecord
from synthface.data.content_credentials import without_credential
from synthface.data.formats import Item
from synthface.data.formats.facesets import read_faceset
from synthface.data.formats.reencoding import reencode
from synthface.data.marks import mark_file, unmark_file
from synthface.workflows.releasing.description import Encoding

if TYPE_CHECKING:
    from synthface.data.content_credentials import CredentialSigner


def marked_items(root: Path, set_id: str, encoding: Encoding, quality: int) -> Iterator[Item]:
    """Yield the images of a FaceSet in manifest order as they are released, one in memory at a time.

    Raises:
        DataError: an image is damaged, is marked already, or two would change places or be one under their new names.
    """
    last = ("", "")
    for item in read_faceset(root):
        released = marked_item(item, set_id, encoding, quality)
        if (last[0] < item.name) != (last[1] < released.name):
            raise DataError(
                f"{root}: {last[0]} and {item.name} cannot both be encoded as {encoding}: they would be "
                f"{last[1]} and {released.name}; release them as they are, with --encoding keep"
            )
        last = (item.name, released.name)
        yield released


def marked_item(item: Item, set_id: str, encoding: Encoding, quality: int) -> Item:
    """Return an image as it is released.

    Raises:
        DataError: it is damaged or marked already.
    """
    processing: dict[str, Any] = {"mark": set_id}
    if encoding != "keep":
        processing |= {"encoding": encoding, "from": {"path": item.name, "sha256": item.sha256}}
        processing |= {} if encoding == "png" else {"quality": quality}
        item = reencode(item, encoding, quality=quality)
    try:
        return replace(item, content=mark_file(item.content, set_id), fields=item.fields | {"processing": processing})
    except DataError as error:
        raise DataError(f"{item.name}: {error}") from None


def signed_item(item: Item, signer: "CredentialSigner | None") -> Item:
    """Return a marked image with a C2PA manifest, if there is who signs it; its record says what it was without.

    Raises:
        DataError: it cannot carry one.
    """
    if signer is None:
        return item
    processing = item.fields["processing"] | {"c2pa": {"unsigned_sha256": item.sha256}}
    try:
        return replace(item, content=signer.sign(item.content), fields=item.fields | {"processing": processing})
    except DataError as error:
        raise DataError(f"{item.name}: {error}") from None


def unsigned_sha256(record: FaceRecord) -> str:
    """Return the hash of a released image without its C2PA manifest, which nobody can make twice."""
    c2pa = (record.processing or {}).get("c2pa")
    return str(c2pa.get("unsigned_sha256")) if isinstance(c2pa, dict) else record.sha256


def processed_again(item: Item, processing: dict[str, Any]) -> Item:
    """Return an image after what a record says was done to it.

    Raises:
        DataError: the record asks for what no release does.
    """
    encoding, quality = processing.get("encoding", "keep"), processing.get("quality", 95)
    if not isinstance(processing.get("mark"), str) or encoding not in get_args(Encoding) or quality not in range(101):
        raise DataError(f"{item.name}: processing that this version of synthface does not know")
    return marked_item(item, processing["mark"], encoding, quality)


def record_of(item: Item) -> FaceRecord:
    """Return the manifest's record of a released image."""
    header = item.header
    return FaceRecord.from_json(
        item.fields
        | {"path": item.name, "identity": item.identity, "sha256": item.sha256}
        | {"width": header.width, "height": header.height}
    )


def audited_line(record: FaceRecord, content: bytes) -> str:
    """Return the line that the image has in the manifest of the audited set.

    Args:
        record: of the released image.
        content: the released file; without signature and mark it is the audited one, unless it was encoded anew.

    Raises:
        DataError: the file is damaged.
    """
    digest = before_processing(record).get("sha256") or sha256_bytes(unmark_file(without_credential(content)))
    before = replace(record, path=name_before(record), sha256=digest, processing=None)
    return canonical_json(before.to_json()) + "\n"


def name_before(record: FaceRecord) -> str:
    """Return the path of a released image in the set that was audited."""
    return str(before_processing(record).get("path", record.path))


def before_processing(record: FaceRecord) -> dict[str, Any]:
    """Return path and hash of the audited file, if the release encoded its pixels anew; else nothing."""
    found = (record.processing or {}).get("from", {})
    return found if isinstance(found, dict) else {}
