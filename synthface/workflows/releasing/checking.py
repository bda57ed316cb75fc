"""What is wrong with a release: files, hashes, counts, marks, and whether the audit is of these very files.

A set is streamed: the memory taken does not depend on how many images it has, but for the names of a FaceSet's files.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from synthface.core.errors import AuditError, DataError
from synthface.core.hashing import sha256_bytes, sha256_file
from synthface.data.content_credentials import can_read_credentials, read_credential, without_credential
from synthface.data.faceset import MANIFEST, FaceRecord, read_manifest
from synthface.data.formats import Item, open_source
from synthface.data.marks import DIGITAL_SOURCE_TYPE, read_mark
from synthface.data.untrusted import safe_name
from synthface.workflows.auditing.result import RESULT, read_result
from synthface.workflows.progress import track
from synthface.workflows.releasing.clearance import audited_manifest
from synthface.workflows.releasing.description import RELEASE, SUMS, ReleaseDescription
from synthface.workflows.releasing.marked_items import audited_line, unsigned_sha256
from synthface.workflows.releasing.writing import files_below


def release_problems(root: Path, release: ReleaseDescription, audit: Path | None) -> Iterator[str]:
    """Yield everything that is wrong with a release, in words.

    Args:
        root: folder of the release.
        release: what it says of itself.
        audit: folder of the audit that it is said to have passed; None does not look at it.
    """
    yield from _sum_problems(root)
    audited = hashlib.sha256()
    n_images, identities, is_whole = 0, set(), True
    try:
        for item, record in _pairs(root, release):
            n_images += 1
            identities.add(record.identity)
            problem = _image_problem(item, record, release)
            if problem is None:
                audited.update(audited_line(record, item.content).encode())
            else:
                is_whole = False
                yield problem
    except DataError as error:
        yield str(error)
        return
    if (n_images, len(identities)) != (release.n_images, release.n_identities):
        yield (
            f"{root} holds {n_images:,} images of {len(identities):,} identities, not {release.n_images:,} of "
            f"{release.n_identities:,} as it says"
        )
    elif is_whole and audited.hexdigest() != release.audited_manifest_sha256:
        yield f"{root}: without their marks, these are not the files that were audited"
    if audit is not None:
        yield from _audit_problems(audit, release)


def _pairs(root: Path, release: ReleaseDescription) -> Iterator[tuple[Item, FaceRecord]]:
    """Yield each image of the release with its record.

    Raises:
        DataError: damage that ends the reading, or one without the other.
    """
    records = read_manifest(root / MANIFEST)
    items = _faceset_items(root) if release.format == "folders" else open_source(root).items()
    for item in track(items, description="checking", total=release.n_images):
        record = next(records, None)
        if record is None:
            raise DataError(f"{root} holds more images than {MANIFEST} lists")
        yield item, record
    if next(records, None) is not None:
        raise DataError(f"{root} holds fewer images than {MANIFEST} lists")


def _faceset_items(root: Path) -> Iterator[Item]:
    """Yield the images of a FaceSet as they are, for a hash that does not fit is for the caller to tell."""
    for record in read_manifest(root / MANIFEST):
        try:
            content = (root / safe_name(record.path)).read_bytes()
        except OSError:
            content = b""
        yield Item(content, record.identity, record.path)


def _image_problem(item: Item, record: FaceRecord, release: ReleaseDescription) -> str | None:
    if not item.content:
        return f"{record.path} is missing"
    if item.sha256 != record.sha256:
        return f"{record.path} is not the file in {MANIFEST}"
    if (item.identity, item.name) != (record.identity, record.path):
        return f"{record.path} is listed under another name or identity in {MANIFEST}"
    try:
        mark = read_mark(item.content)
    except DataError as error:
        return f"{record.path} is {error}"
    if mark is None or f"synthface:{release.set_id}" not in mark:
        return f"{record.path} lacks the mark that it is synthetic and of this set"
    return None if release.c2pa is None else _credential_problem(item, record, release.c2pa)


def _credential_problem(item: Item, record: FaceRecord, certificate: dict[str, str]) -> str | None:
    """Say what is wrong with an image's C2PA manifest, as far as the library to read it is there."""
    if sha256_bytes(without_credential(item.content)) != unsigned_sha256(record):
        return f"{record.path} without its C2PA manifest is not the file that was signed"
    if not can_read_credentials():
        return None
    try:
        found = read_credential(item.content)
    except DataError as error:
        return f"{record.path} has {error}"
    if found is None or not found.is_whole:
        return f"{record.path} {'has no C2PA manifest' if found is None else 'was changed after it was signed (C2PA)'}"
    if DIGITAL_SOURCE_TYPE not in found.source_types:
        return f"{record.path}: its C2PA manifest does not say that it is synthetic"
    if found.serial_number != certificate.get("serial_number") or found.signer != certificate.get("signer"):
        return f"{record.path} was signed with another certificate than {RELEASE} names"
    return None


def _sum_problems(root: Path) -> Iterator[str]:
    """Compare SHA256SUMS with the files, and the files with SHA256SUMS."""
    sums = root / SUMS
    listed: set[str] = set()
    if not sums.is_file():
        yield f"{SUMS} is missing"
        return
    with sums.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            digest, name = line[:64], line.rstrip("\n")[66:]
            listed.add(name)
            is_safe = not name.startswith("/") and ".." not in name.split("/")
            if not is_safe or not (root / name).is_file() or sha256_file(root / name) != digest:
                yield f"{name} does not match its line in {SUMS}"
            elif (root / name).is_symlink():
                yield f"{name} is a link, not a file of the release"
    for path in files_below(root):
        if (name := path.relative_to(root).as_posix()) not in listed and name != SUMS:
            yield f"{name} is not in {SUMS}"


def _audit_problems(audit: Path, release: ReleaseDescription) -> Iterator[str]:
    try:
        result = read_result(audit)
    except AuditError as error:
        yield str(error)
        return
    clearance = release.clearance
    if audited_manifest(result) != release.audited_manifest_sha256:
        yield f"--audit {audit} is of other files than these"
    if sha256_file(audit / RESULT) != clearance.get("audit_sha256") or result["verdict"] != clearance.get("verdict"):
        yield f"--audit {audit} is not the audit that the release names (verdict {clearance.get('verdict')})"
