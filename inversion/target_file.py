"""Targets as they come: embeddings of a FaceSet, an embeddings file, or a plain array."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inversion.groups import check_targets
from synthface.core.errors import DataError
from synthface.core.seeds import numpy_generator
from synthface.data.embeddings import Embeddings


@dataclass(frozen=True)
class TargetSet:
    """What to invert, chosen from all there is.

    Attributes:
        vectors: [N, D] unit targets.
        identities: [N] who each target is.
        names: [N] the image behind each target, or the row in the file.
        rows: [N] rows of the whole collection that were chosen, increasing.
        everything: embeddings of the whole collection, or None for an array without names.
    """

    vectors: NDArray[np.float32]
    identities: NDArray[np.str_]
    names: NDArray[np.str_]
    rows: NDArray[np.int64]
    everything: Embeddings | None

    @classmethod
    def choose(cls, everything: Embeddings, limit: int | None, seed: int) -> "TargetSet":
        """Take all embeddings, or ``limit`` of them at random."""
        rows = choose_rows(len(everything), limit, seed)
        part = everything.take(rows)
        return cls(check_targets(part.vectors), part.identities, part.images, rows, everything)

    @classmethod
    def from_array(cls, vectors: NDArray[np.floating], limit: int | None, seed: int) -> "TargetSet":
        """Take the rows of an array, or ``limit`` of them at random; each counts as a person of its own."""
        rows = choose_rows(len(vectors), limit, seed)
        names = np.array([f"row-{row:06d}" for row in rows], dtype=np.str_)
        return cls(check_targets(vectors[rows]), names, names, rows, None)


def choose_rows(n: int, limit: int | None, seed: int) -> NDArray[np.int64]:
    """Return all row numbers, or ``limit`` of them drawn at random, increasing."""
    rows = np.arange(n)
    if limit is not None and limit < n:
        rows = np.sort(numpy_generator(seed, "targets").choice(rows, limit, replace=False))
    return rows


def read_array(path: Path, *, flag: str = "--embeddings") -> NDArray[np.floating]:
    """Read targets from ``.npy``, [N, D] or a single [D].

    Raises:
        DataError: missing, damaged, or not an array of numbers.
    """
    if not path.is_file():
        raise DataError(f"{flag} {path} does not exist")
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise DataError(f"{flag} {path} is not a .npy file of plain numbers") from None
    try:
        return check_targets(array[None] if array.ndim == 1 else array)
    except DataError as error:
        raise DataError(f"{flag} {path}: {error}") from None
