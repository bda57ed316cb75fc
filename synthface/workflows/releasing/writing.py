"""Writing a release in any format; beside the images always manifest.jsonl, release.json, the cards and SHA256SUMS."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthface.core.atomic import atomic_folder
from synthface.core.hashing import canonical_json, sha256_file
from synthface.core.run_record import write_json
from synthface.core.working_folder import is_working_file
from synthface.data import FaceSetWriter
from synthface.data.faceset import INFO, LEFT_OUT, MANIFEST, read_manifest
from synthface.data.formats import CONVERSION, ContentSum, Item, open_sink
from synthface.workflows.existing_results import existing_results
from synthface.workflows.releasing.description import RELEASE, SUMS
from synthface.workflows.releasing.marked_items import record_of, signed_item

if TYPE_CHECKING:
    from synthface.data.content_credentials import CredentialSigner

Documents = Callable[[Path], Mapping[str, bytes]]


def write_faceset(
    out: Path,
    items: Iterable[Item],
    *,
    signer: "CredentialSigner | None",
    record: dict[str, Any],
    documents: Documents,
    extra: dict[str, Any],
) -> bool:
    """Write the release as a FaceSet, that is, a folder an identity; it goes on where it was stopped.

    Args:
        out: folder of the release.
        items: marked images.
        signer: signs them, if anybody does.
        record: run record of the release.
        documents: makes everything that stands beside images and manifest, given the folder.
        extra: what else faceset.json says.

    Returns:
        Whether anything was written; not if the very release is there.
    """

    def closing(working: Path) -> Mapping[str, bytes]:
        _remove_documents(working)
        for name, content in documents(working).items():
            (working / name).write_bytes(content)
        return {SUMS: _sums_of_faceset(working)}

    with FaceSetWriter(out, kind=record["config"]["kind"], record=record, extra=extra) as writer:
        if writer.is_complete:
            return False
        for item in items:
            if not writer.done(item.name):
                released = signed_item(item, signer)
                writer.add_record(record_of(released), released.content)
        writer.finish(closing)
    return True


def write_packed(
    out: Path,
    items: Iterable[Item],
    *,
    signer: "CredentialSigner | None",
    record: dict[str, Any],
    documents: Documents,
    shard_size: int,
) -> bool:
    """Write the release as WebDataset, RecordIO or parquet; a run that was stopped starts anew.

    Args:
        out: folder of the release.
        items: marked images.
        signer: signs them, if anybody does.
        record: run record of the release.
        documents: makes everything that stands beside images and manifest, given the folder.
        shard_size: images a shard.

    Returns:
        Whether anything was written; not if the very release is there.
    """
    format = record["config"]["format"]
    if existing_results(out, RELEASE, record) is not None:
        return False
    total = ContentSum()
    with atomic_folder(out) as working:
        sink = open_sink(format, working, shard_size=shard_size)
        try:
            with (working / MANIFEST).open("w", encoding="utf-8", newline="\n") as manifest:
                for number, item in enumerate(total.over(signed_item(item, signer) for item in items)):
                    sink.add(item)
                    more = {"member": f"{number:09d}{Path(item.name).suffix}"} if format == "webdataset" else {}
                    manifest.write(canonical_json(record_of(item).to_json() | more) + "\n")
            sink.finish()
        finally:
            sink.close()
        conversion = {"n_images": total.n_images, "sha256": total.sha256, "kind": record["config"]["kind"]}
        write_json(working / CONVERSION, conversion | {"made_by": record})
        for name, content in documents(working).items():
            (working / name).write_bytes(content)
        (working / SUMS).write_bytes("".join(sum_lines(working, ())).encode())
    return True


def _remove_documents(working: Path) -> None:
    """Take out what a run wrote that was killed among the documents: croissant.json lists the files that it finds."""
    for path in working.iterdir():
        if path.is_file() and path.name not in (INFO, MANIFEST, LEFT_OUT) and not is_unlisted(path.name):
            path.unlink()


def _sums_of_faceset(root: Path) -> bytes:
    """Return SHA256SUMS of a FaceSet: its images from the manifest, everything else read."""
    images = (f"{record.sha256}  {record.path}\n" for record in read_manifest(root / MANIFEST))
    return "".join([*images, *sum_lines(root, ("images",))]).encode()


def sum_lines(root: Path, leave_out: tuple[str, ...]) -> Iterator[str]:
    """Yield a line of SHA256SUMS for each file below a folder, as ``sha256sum -c`` reads them.

    Args:
        root: the folder.
        leave_out: entries of the folder itself that are not looked at.
    """
    for path in files_below(root):
        name = path.relative_to(root).as_posix()
        if name.split("/")[0] not in leave_out and not is_unlisted(name):
            yield f"{sha256_file(path)}  {name}\n"


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder in order; links are not followed."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from files_below(path)
        else:
            yield path


def is_unlisted(name: str) -> bool:
    """Say whether SHA256SUMS leaves a file out: the sums themselves, and what is there only while a release grows."""
    return name == SUMS or is_working_file(name)
