"""Thresholds from every comparison of different people's images, however many there are: exact, in bounded memory."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FMRS = {"1e-2": 1e-2, "1e-3": 1e-3, "1e-4": 1e-4}  # by the name that they have in results
_BLOCK = 512


@dataclass(frozen=True)
class Threshold:
    """A comparison threshold and what it rests on: scores at or above ``value`` are accepted."""

    value: float
    fmr: float
    n_non_mated: int


def cross_identity_thresholds(
    vectors: NDArray[np.float32], identities: NDArray[np.str_], fmrs: Mapping[str, float] = FMRS
) -> dict[str, Threshold | None]:
    """Return the smallest threshold whose FMR over all cross-identity pairs does not exceed each rate.

    Scores are computed block by block; of them only as many as the largest rate accepts are kept. A rate at which
    the pairs there are cannot show one false match gives None.

    Args:
        vectors: [F, D] unit embeddings.
        identities: [F] who each shows.
        fmrs: false match rates by name.
    """
    labels, counts = np.unique(identities, return_inverse=True, return_counts=True)[1:]
    n = len(labels)
    n_pairs = n * (n - 1) // 2 - int((counts * (counts - 1) // 2).sum())
    resolved = {name: fmr for name, fmr in fmrs.items() if fmr * n_pairs >= 1}
    if not resolved:
        return dict.fromkeys(fmrs)
    allowed = {name: int(np.floor(fmr * n_pairs * (1 + 1e-12))) for name, fmr in resolved.items()}
    highest = np.sort(_highest_scores(vectors, labels, max(allowed.values()) + 1))[::-1]
    return {
        name: Threshold(_just_above(highest[allowed[name]]), fmrs[name], n_pairs) if name in resolved else None
        for name in fmrs
    }


def _highest_scores(vectors: NDArray[np.float32], labels: NDArray[np.int64], wanted: int) -> NDArray[np.float32]:
    """Return the ``wanted`` highest scores of pairs of different labels, in no order."""
    pool: list[NDArray[np.float32]] = []
    held, bound = 0, -np.inf
    for start in range(0, len(vectors), _BLOCK):
        stop = min(start + _BLOCK, len(vectors))
        scores = vectors[start:stop] @ vectors[start:].T
        compared = labels[start:stop, None] != labels[None, start:]
        compared &= np.arange(len(vectors) - start) > np.arange(stop - start)[:, None]
        part = scores[compared & (scores > bound)]
        pool.append(part)
        held += len(part)
        if held > 2 * wanted:
            kept = np.concatenate(pool)
            pool = [np.partition(kept, held - wanted)[held - wanted :]]
            held, bound = wanted, pool[0].min()
    kept = np.concatenate(pool)
    return np.partition(kept, len(kept) - wanted)[len(kept) - wanted :] if len(kept) > wanted else kept


def _just_above(score: np.float32) -> float:
    # in the scores' own precision: the next double would be rounded back to the score it must reject
    return float(np.nextafter(np.float32(score), np.float32(np.inf)))
