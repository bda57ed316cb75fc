"""Verification pairs: a text file against the FaceSet that holds its images, or a .bin set that brings its own."""

import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from synthface.core.cache_folder import cache_folder
from synthface.core.errors import DataError
from synthface.core.hashing import sha256_file
from synthface.data import FaceSet
from synthface.metrics.lfw_pairs import ImageKey, Pair, parse_pairs

if TYPE_CHECKING:
    from synthface.data.formats import VerificationBin

PairRow = tuple[int, int, bool]  # rows of the two images in a FaceSet, and whether they show one person


def locate_pairs(path: Path, faceset: FaceSet, *, flag: str) -> tuple[list[Pair], list[Pair], dict[ImageKey, int]]:
    """Read a pairs file and find its images by their source names.

    Args:
        path: file in the format of LFW's pairs.txt.
        faceset: where the images are.
        flag: the option that named the file, for messages.

    Returns:
        All pairs; those whose two images are in the set; and the row of each image of the set.

    Raises:
        DataError: the file cannot be read or is of another format.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{flag} {path} cannot be read ({error})") from None
    listed = parse_pairs(text, source=f"{flag} {path}")
    row_of = {
        (record.identity, PurePosixPath(record.source or record.path).stem): row
        for row, record in enumerate(faceset.records)
    }
    return listed, [pair for pair in listed if pair.first in row_of and pair.second in row_of], row_of


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
