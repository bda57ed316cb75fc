"""Which of a row of candidate identities are new people: like no earlier one, and like no training class."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Templates = NDArray[np.float32]  # [N, D] unit vectors, one an identity
_BLOCK = 4096


def keep_distinct(
    candidates: Iterable[Templates], threshold: float, *, others: Templates | None = None, patience: int = 500
) -> Iterator[int]:
    """Yield the numbers of the candidates that are kept, in order, until ``patience`` in a row are not.

    A candidate is kept if its cosine to every one kept before it, and to all of ``others``, is below the threshold.
    So whether it is kept depends on its predecessors alone, not on how many are asked for or on the blocks.

    Args:
        candidates: templates of candidates 0, 1, ... in blocks of any size.
        threshold: cosine from which two templates count as one person.
        others: identities that no candidate may resemble.
        patience: rejections in a row after which no more are looked at.
    """
    kept: list[Templates] = [] if others is None else [others]
    first, last_kept = 0, -1
    for block in candidates:
        highest = np.full(len(block), -np.inf, np.float32)
        for group in kept:
            for start in range(0, len(group), _BLOCK):
                highest = np.maximum(highest, (block @ group[start : start + _BLOCK].T).max(axis=1))
        new: list[int] = []
        for row, template in enumerate(block):
            if first + row - last_kept > patience:
                return
            if highest[row] < threshold and (not new or (block[new] @ template).max() < threshold):
                new.append(row)
                last_kept = first + row
                yield last_kept
        if new:
            kept = _appended(kept, block[new])
        first += len(block)


def _appended(groups: list[Templates], templates: Templates) -> list[Templates]:
    """Add templates to the last group while it is small, so that groups stay few and large."""
    if len(groups) > 1 and len(groups[-1]) < _BLOCK:
        return [*groups[:-1], np.concatenate([groups[-1], templates])]
    return [*groups, templates]


def identity_templates(unit: NDArray[np.float32], per_identity: int) -> Templates:
    """Return the unit mean of each run of ``per_identity`` unit embeddings: [N * per_identity, D] -> [N, D]."""
    means = unit.reshape(-1, per_identity, unit.shape[1]).mean(axis=1, dtype=np.float64)
    return (means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)).astype(np.float32)
