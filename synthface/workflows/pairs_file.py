"""Verification pairs: a file against the FaceSet that holds its images, or a .bin set that brings its own."""

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synthface.core.cache_folder import cache_folder
from synthface.core.errors import DataError
from synthface.core.hashing import sha256_file
from synthface.data import FaceRecord, FaceSet
from synthface.data.identity_names import composed
from synthface.metrics.lfw_pairs import ImageKey, parse_pairs
from synthface.metrics.pairs_by_path import parse_pairs_by_path

if TYPE_CHECKING:
    from synthface.data.formats import VerificationBin

PAIRS_BY_PATH = ".jsonl"
PairRow = tuple[int, int, bool]  # rows of the two images in a FaceSet, and whether they show one person


@dataclass(frozen=True)
class LocatedPairs:
    """The pairs of a file whose two images a FaceSet holds.

    Attributes:
        rows: [N, 2] the images' rows.
        same: [N] true where they show one person.
        folds: [N] fold of each pair.
        n_listed: pairs in the file.
    """

    rows: NDArray[np.int64]
    same: NDArray[np.bool_]
    folds: NDArray[np.int64]
    n_listed: int


def locate_pairs(path: Path, faceset: FaceSet, *, flag: str) -> LocatedPairs:
    """Read a pairs file and find its images: by their paths in the manifest, or by their source names.

    Args:
        path: a ``.jsonl`` of ``{"first": PATH, "second": PATH, "same": true, "fold": 0}``, or a file in the format of
            LFW's pairs.txt.
        faceset: where the images are.
        flag: the option that named the file, for messages.

    Raises:
        DataError: the file cannot be read or is of another format.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{flag} {path} cannot be read ({error})") from None
    by_path = path.suffix == PAIRS_BY_PATH
    listed = (
        parse_pairs_by_path(text, source=f"{flag} {path}") if by_path else parse_pairs(text, source=f"{flag} {path}")
    )
    row_of = {_key(record, by_path=by_path): row for row, record in enumerate(faceset.records)}
    found = [pair for pair in listed if _spelling(pair.first) in row_of and _spelling(pair.second) in row_of]
    rows = [[row_of[_spelling(pair.first)], row_of[_spelling(pair.second)]] for pair in found]
    return LocatedPairs(
        np.array(rows, dtype=np.int64).reshape(-1, 2),
        np.array([pair.same for pair in found], dtype=bool),
        np.array([pair.fold for pair in found], dtype=np.int64),
        len(listed),
    )


def _key(record: FaceRecord, *, by_path: bool) -> ImageKey | str:
    key = record.path if by_path else (record.identity, PurePosixPath(record.source or record.path).stem)
    return _spelling(key)


def _spelling(key: ImageKey | str) -> ImageKey | str:
    """Return what two spellings of a person's name have in common: a list may come from macOS, photos from Linux."""
    return key if isinstance(key, str) else (composed(key[0]), composed(key[1]))


def is_bin(path: Path) -> bool:
    """Say whether a pairs file is a .bin verification set."""
    return path.suffix == ".bin"


def open_bin(path: Path) -> tuple[FaceSet, list[PairRow], list[int]]:
    """Return the images of a .bin verification set as a FaceSet (kept in the cache), its pairs and their folds.

    Raises:
        DataError: not such a file, or one of its images is none.
    """
    from filelock import FileLock

    from synthface.data.formats import VerificationBin

    pairs = VerificationBin.open(path)
    folder = cache_folder("verification") / sha256_file(path)[:32]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock"), mode=0o666):  # one process fills it, others wait
            if not folder.exists():
                _fill(folder, pairs)
    # the images' names are numbered, so the manifest's order is the file's
    rows = [(2 * k, 2 * k + 1, same) for k, same in enumerate(pairs.same)]
    return FaceSet.load(folder), rows, pairs.folds()


def _fill(folder: Path, pairs: "VerificationBin") -> None:
    from synthface.data.formats.facesets import FaceSetSink

    sink = FaceSetSink(folder, kind="real", record={"command": "evaluate", "config": {}, "inputs": {}})
    try:
        for item in pairs.items():
            sink.add(item)
        sink.finish()
    finally:
        sink.close()


def read_pair_rows(faceset: FaceSet, name: str) -> list[PairRow]:
    """Return the pairs that stand beside the images of a FaceSet made from a .bin set.

    Raises:
        DataError: there is no such file, or it names images that are not in the set.
    """
    row_of = {record.path: row for row, record in enumerate(faceset.records)}
    try:
        lines = [json.loads(line) for line in (faceset.root / name).read_text(encoding="utf-8").splitlines()]
        return [(row_of[line["first"]], row_of[line["second"]], bool(line["same"])) for line in lines]
    except FileNotFoundError:
        raise DataError(f"{faceset.root} holds no {name}; give --pairs with a file like LFW's pairs.txt") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{faceset.root / name} does not name pairs of this FaceSet's images") from None
