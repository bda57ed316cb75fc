"""Scores in float64 of the few pairs that a search keeps."""

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.gallery import Gallery

_ROWS = 256  # dot products at once: products of 512 numbers then stay in the L2 cache


def exact_scores(
    gallery: Gallery, queries: NDArray[np.float32], people: NDArray[np.int64], query: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the best score of each (person, query) pair over the person's photos, and its row, the lowest of equals.

    The product of two float32 numbers is exact in float64; each sum is done in the same order wherever the pair
    stands, so a pair has one score whatever else is searched.

    Args:
        gallery: photos by person.
        queries: [N, D] unit vectors.
        people: [m] index of the person of each pair.
        query: [m] index of its query.
    """
    score, row = np.empty(len(people)), np.empty(len(people), np.int64)
    ends = np.cumsum(gallery.counts[people])
    begin = 0
    while begin < len(people):
        before = ends[begin] - gallery.counts[people[begin]]
        end = max(begin + 1, int(np.searchsorted(ends, before + _ROWS, side="right")))
        part = slice(begin, end)
        score[part], row[part] = _best_photos(gallery, queries, people[part], query[part])
        begin = end
    return score, row


def _best_photos(
    gallery: Gallery, queries: NDArray[np.float32], people: NDArray[np.int64], query: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    counts = gallery.counts[people]
    starts = np.cumsum(counts) - counts
    rows = np.arange(counts.sum()) + np.repeat(gallery.starts[people] - starts, counts)
    products = np.multiply(gallery.vectors[rows], queries[np.repeat(query, counts)], dtype=np.float64)
    scores = products.sum(axis=1)
    best = np.maximum.reduceat(scores, starts)
    row = np.minimum.reduceat(np.where(scores == np.repeat(best, counts), rows, len(gallery.vectors)), starts)
    return best, row
