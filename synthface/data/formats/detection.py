"""What a path holds, told by its content, and the sets it is read from."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from synthface.core.errors import DataError
from synthface.data.faceset import INFO, FaceSet, Kind
from synthface.data.formats.facesets import read_faceset
from synthface.data.formats.folders import read_folders
from synthface.data.formats.image_header import IMAGE_SUFFIXES
from synthface.data.formats.item import ContentSum, Item
from synthface.data.formats.parquet import count_rows, read_parquet
from synthface.data.formats.recordio import MAGIC, read_recordio
from synthface.data.formats.verification_bin import VerificationBin
from synthface.data.formats.webdataset import read_webdataset

FormatName = Literal["faceset", "folders", "recordio", "webdataset", "parquet", "bin"]
CONVERSION = "conversion.json"  # what `synthface convert` leaves in the sets it writes
_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


@dataclass(frozen=True)
class Source:
    """A set of images in one of the formats.

    Attributes:
        path: file or folder.
        format: which format it is.
        files: the files it is read from; for folders and FaceSets none, they are found while reading.
        kind: real, synthetic or inverted, where the set says so.
        n_images: how many it says it holds.
        sha256: its ``ContentSum``, where the set says so.
    """

    path: Path
    format: FormatName
    files: tuple[Path, ...] = ()
    kind: Kind | None = None
    n_images: int | None = None
    sha256: str | None = None

    def items(self) -> Iterator[Item]:
        """Yield the images one at a time.

        Raises:
            DataError: anything is damaged, over a limit, or not what the set says it holds.
        """
        total = ContentSum()
        yield from total.over(_READERS[self.format](self))
        if self.n_images is not None and total.n_images != self.n_images:
            raise DataError(f"{self.path} holds {total.n_images:,} images, not {self.n_images:,} as it says")
        if self.sha256 is not None and total.sha256 != self.sha256:
            raise DataError(f"{self.path}: images or identities are not those in its {CONVERSION}; it was changed")

    def fingerprint(self) -> str:
        """Return a hash of names and sizes of its files (a FaceSet: of its manifest), to know the set again."""
        if self.format == "faceset":
            return FaceSet.load(self.path).manifest_sha256
        digest = hashlib.sha256()
        root = self.path if self.path.is_dir() else self.path.parent
        for path in self.files or _files_below(self.path):
            digest.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode(errors="replace"))
        return digest.hexdigest()


def _files_below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _files_below(path)
        elif path.is_file():
            yield path


_READERS: dict[FormatName, Callable[[Source], Iterator[Item]]] = {
    "faceset": lambda source: read_faceset(source.path),
    "folders": lambda source: read_folders(source.path),
    "recordio": lambda source: read_recordio(source.files[0]),
    "webdataset": lambda source: read_webdataset(list(source.files)),
    "parquet": lambda source: read_parquet(list(source.files)),
    "bin": lambda source: VerificationBin.open(source.path).items(),
}


def open_source(path: Path, *, flag: str = "SOURCE") -> Source:
    """Find out which format a path holds.

    Raises:
        DataError: it does not exist, or holds none of the formats.
    """
    if not path.exists():
        raise DataError(f"{flag} {path} does not exist")
    source = _folder_source(path) if path.is_dir() else _file_source(path)
    if source is None:
        raise DataError(f"{flag} {path} holds none of the formats {', '.join(get_args(FormatName))}")
    return source


def open_labelled(path: Path) -> Source | None:
    """Return the RecordIO or parquet set at a path: records that say who they show.

    A folder that also holds image files is none: a table beside photos only describes them.

    Raises:
        DataError: several .rec files, or a damaged ``conversion.json``.
    """
    if path.is_dir() and _holds_images(path, "**/*"):
        return None
    source = _packed_source(path) if path.is_dir() else _file_source(path)
    return source if source is not None and source.format in ("recordio", "parquet") else None


def _folder_source(root: Path) -> Source | None:
    if (root / INFO).is_file():
        info = FaceSet.load(root).info
        return Source(root, "faceset", (), info["kind"], info["n_images"])
    if (packed := _packed_source(root)) is not None:
        return packed
    if _holds_images(root, "*/*") or _holds_images(root, "*/**/*"):
        return Source(root, "folders", (), **_conversion(root))
    return None


def _holds_images(root: Path, pattern: str) -> bool:
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in root.glob(pattern))


def _packed_source(root: Path) -> Source | None:
    """Return the set in a folder's .rec, .tar or .parquet files, if it has any."""
    for name, patterns in _PATTERNS.items():
        files = sorted(path for pattern in patterns for path in root.glob(pattern) if path.is_file())
        if name == "recordio" and len(files) > 1:
            raise DataError(f"{root} holds {len(files)} .rec files; name the one that is meant")
        if files:
            facts = _conversion(root)
            n_rows = count_rows(files) if name == "parquet" else None
            return Source(root, name, tuple(files), facts["kind"], n_rows or facts["n_images"], facts["sha256"])
    return None


_PATTERNS: dict[FormatName, tuple[str, ...]] = {
    "recordio": ("*.rec",),
    "webdataset": tuple(f"*{suffix}" for suffix in _TAR_SUFFIXES),
    "parquet": ("*.parquet", "data/*.parquet"),
}


def _conversion(root: Path) -> dict[str, Any]:
    """Return what a set written by `synthface convert` says of itself."""
    try:
        facts = json.loads((root / CONVERSION).read_text(encoding="utf-8"))
        kind, n_images, sha256 = facts["kind"], facts["n_images"], facts["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {"kind": None, "n_images": None, "sha256": None}
    if kind not in (None, *get_args(Kind)) or not isinstance(n_images, int) or not isinstance(sha256, str):
        raise DataError(f"{root / CONVERSION} is not what 'synthface convert' writes; remove it to read the set anyway")
    return {"kind": kind, "n_images": n_images, "sha256": sha256}


def _file_source(path: Path) -> Source | None:
    with path.open("rb") as stream:
        start = stream.read(512)
    name: FormatName | None = None
    if start.startswith(MAGIC):
        name = "recordio"
    elif start.startswith(b"PAR1"):
        name = "parquet"
    elif start[257:262] == b"ustar" or start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        name = "webdataset"
    elif start.startswith((b"\x80", b"(")):  # a pickle, of any protocol
        name = "bin"
    return Source(path, name, (path,)) if name else None
