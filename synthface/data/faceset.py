"""A FaceSet: a folder of face images with ``manifest.jsonl`` and ``faceset.json``; never edited once made."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import DataError
from synthface.core.hashing import sha256_bytes, sha256_file
from synthface.data.images import decode_image, resize_image
from synthface.data.record_check import check_info, read_lines
from synthface.data.untrusted import printable

FORMAT = "synthface-faceset"
FORMAT_VERSION = 1
MANIFEST = "manifest.jsonl"
INFO = "faceset.json"
LEFT_OUT = "left_out.jsonl"  # only where something was
Kind = Literal["real", "synthetic", "inverted"]


@dataclass(frozen=True, kw_only=True)
class FaceRecord:
    """One image of a FaceSet; the fields after ``quality`` belong to synthetic images only."""

    path: str  # relative to the FaceSet, with forward slashes
    identity: str
    sha256: str
    width: int
    height: int
    source: str | None = None  # path inside what the image was made from
    alignment: str = "arcface"  # "arcface": 5-point template; "given": taken as it came
    landmarks: list[list[float]] | None = None  # five (x, y) in pixels of the source image
    quality: float | None = None  # detector confidence, 0..1
    class_index: int | None = None
    seed: int | None = None
    generator: str | None = None  # sha256 of the generator's weights
    psi: float | None = None
    noise_mode: str | None = None
    cutoff: int | None = None  # layers that psi truncates, from the coarsest; all where it is not set
    code: dict[str, Any] | None = None  # identity code, for identities that are no training class
    processing: dict[str, Any] | None = None  # what a release did to the file: mark, encoding, and what it was before

    def to_json(self) -> dict[str, Any]:
        """Return the manifest line: every field that is set."""
        return {key: value for key, value in vars(self).items() if value is not None}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "FaceRecord":
        """Read a manifest line; unknown keys of later versions are ignored."""
        return cls(**{key: item for key, item in value.items() if key in _RECORD_FIELDS})


_RECORD_FIELDS = frozenset(field.name for field in fields(FaceRecord))


@dataclass(frozen=True)
class FaceSet:
    """A FaceSet: where it lies and what made it; its records are read when first asked for, its images one by one."""

    root: Path
    info: dict[str, Any]

    @classmethod
    def load(cls, root: Path, *, kinds: Iterable[Kind] | None = None, flag: str = "FaceSet") -> "FaceSet":
        """Open the FaceSet in ``root`` and check the hash of its manifest.

        Args:
            root: folder of the FaceSet.
            kinds: the kinds that are acceptable here; None takes any.
            flag: the command-line flag that named the folder, for messages.

        Raises:
            DataError: no such folder, not a FaceSet, of another kind, or its manifest does not match its hash.
        """
        root = Path(root)
        info = _read_info(root, flag)
        if kinds is not None and info["kind"] not in tuple(kinds):
            raise DataError(f"{flag} {root} is a {info['kind']} FaceSet; this needs {' or '.join(kinds)}")
        manifest = root / MANIFEST
        if not manifest.is_file():
            raise DataError(f"{flag} {root}: {MANIFEST} is missing; make the FaceSet again")
        if sha256_file(manifest) != info["manifest_sha256"]:
            raise DataError(f"{flag} {root}: {MANIFEST} was changed after the set was made; make the FaceSet again")
        return cls(root, info)

    @cached_property
    def records(self) -> tuple[FaceRecord, ...]:
        """The records in manifest order.

        Raises:
            DataError: the manifest holds another number of them than faceset.json says.
        """
        records = tuple(read_manifest(self.root / MANIFEST))
        if len(records) != self.info["n_images"]:
            raise DataError(f"{self.root}: {INFO} was changed: it does not say {len(records):,} images, as {MANIFEST}")
        return records

    def __len__(self) -> int:
        return int(self.info["n_images"])

    @property
    def n_identities(self) -> int:
        """How many identities there are, without reading the records."""
        return int(self.info["n_identities"])

    @property
    def kind(self) -> Kind:
        """``real``, ``synthetic`` or ``inverted``."""
        kind: Kind = self.info["kind"]
        return kind

    @property
    def manifest_sha256(self) -> str:
        """Hash of the manifest: names this very set of images."""
        return str(self.info["manifest_sha256"])

    @cached_property
    def identities(self) -> tuple[str, ...]:
        """The distinct identities in sorted order; a training class is an index into them."""
        return tuple(sorted({record.identity for record in self.records}))

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """[N] index of each record's identity in ``identities``."""
        index = {identity: k for k, identity in enumerate(self.identities)}
        return np.array([index[record.identity] for record in self.records], dtype=np.int64)

    def read_image(self, index: int) -> NDArray[np.uint8]:
        """Return image ``index`` as [height, width, 3] uint8, checked against its hash.

        Raises:
            DataError: the file is missing or is not the one in the manifest.
        """
        record = self.records[index]
        path = self.root / record.path
        try:
            content = path.read_bytes()
        except OSError:
            raise DataError(f"{path} is missing; the FaceSet is incomplete, make it again") from None
        if sha256_bytes(content) != record.sha256:
            raise DataError(f"{path} does not match its hash in {MANIFEST}; make the FaceSet again")
        return decode_image(content)

    def read_images(self, indices: Iterable[int], height: int, width: int) -> NDArray[np.uint8]:
        """Return images as [n, height, width, 3] uint8, resized where needed."""
        images = [resize_image(self.read_image(index), height, width) for index in indices]
        return np.stack(images) if images else np.zeros((0, height, width, 3), np.uint8)


def read_manifest(path: Path) -> Iterator[FaceRecord]:
    """Return the records of a manifest as a stream, one in memory at a time.

    Raises:
        DataError: names the line that is no record.
    """
    return map(FaceRecord.from_json, read_lines(path))


def _read_info(root: Path, flag: str) -> dict[str, Any]:
    if not root.exists():
        raise DataError(f"{flag} {root} does not exist")
    try:
        info = json.loads((root / INFO).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        info = None
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise DataError(
            f"{flag} {root} is not a FaceSet (no valid {INFO}); make one with 'synthface prepare' from photos, "
            "or with 'synthface convert' from a set in another format"
        )
    if info.get("version") != FORMAT_VERSION:
        raise DataError(f"{flag} {root}: FaceSet version {printable(info.get('version'))} needs another synthface")
    try:
        check_info(info)
    except DataError as error:
        raise DataError(f"{flag} {root}: {INFO} was damaged: {error}; make the FaceSet again") from None
    return info
