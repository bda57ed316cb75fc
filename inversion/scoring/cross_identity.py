"""Thresholds from every comparison of different people's images: exact, a block of comparisons at a time."""

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

    Scores are computed block by block, and about twice as many kept as the largest rate accepts. While the lower half
    is thrown away that takes 24 bytes for each score accepted: at a rate of 1 % 21 MB for LFW's 13,233 photos, and 1.2
    GB for 100,000, a quarter of a byte for each pair there is. A rate at which the pairs there are cannot show one
    false match gives None.

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
            kept.partition(held - wanted)
            pool = [kept[held - wanted :].copy()]  # a view would keep the rest too
            held, bound = wanted, pool[0].min()
    kept = np.concatenate(pool)
    if len(kept) > wanted:
        kept.partition(len(kept) - wanted)
    return kept[-wanted:]


def _just_above(score: np.float32) -> float:
    # in the scores' own precision: the next double would be rounded back to the score it must reject
    return float(np.nextafter(np.float32(score), np.float32(np.inf)))
