"""Exact search in blocks: every synthetic image against every photo, in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.gallery import Gallery

GALLERY_BLOCK = 2048  # photos
QUERY_BLOCK = 4096  # synthetic images; 2048 x 4096 float32 scores are 34 MB


@dataclass(frozen=True)
class SearchResult:
    """What a search keeps of the score matrix.

    Attributes:
        person_top: [P, t] the largest scores of each person over the queries, a query counting once with
            its best photo of that person; unordered; t is at most the number of queries.
        nearest_score: [N] float64 best score of each query.
        nearest_row: [N] gallery row it belongs to; the lowest one among equals.
    """

    person_top: NDArray[np.float64]
    nearest_score: NDArray[np.float64]
    nearest_row: NDArray[np.int64]


def search(gallery: Gallery, queries: NDArray[np.float32], top: int) -> SearchResult:
    """Compare every query with every photo.

    The score matrix is made block by block (blocks end between people) and reduced to the maximum by person at
    once. Scores that are kept as nearest are computed again in float64.

    Args:
        gallery: photos by person.
        queries: [N, D] unit vectors.
        top: number of scores to keep a person.
    """
    n_queries = len(queries)
    top = min(top, n_queries)
    person_top = np.full((len(gallery), top), -np.inf)
    best = np.full(n_queries, -np.inf, np.float32)
    best_person = np.zeros(n_queries, np.int64)
    for people, rows in _blocks(gallery):
        starts = gallery.starts[people] - rows.start
        for begin in range(0, n_queries, QUERY_BLOCK):
            columns = slice(begin, min(begin + QUERY_BLOCK, n_queries))
            maxima = np.maximum.reduceat(gallery.vectors[rows] @ queries[columns].T, starts, axis=0)  # [p, c]
            _keep_largest(person_top[people], maxima)
            winner = maxima.argmax(axis=0)
            value = maxima[winner, np.arange(maxima.shape[1])]
            better = value > best[columns]
            best[columns][better] = value[better]
            best_person[columns][better] = winner[better] + people.start
    nearest_score, nearest_row = _rescore(gallery, queries, best_person)
    return SearchResult(person_top, nearest_score, nearest_row)


def _blocks(gallery: Gallery) -> Iterator[tuple[slice, slice]]:
    """Yield (people, rows) slices of at most GALLERY_BLOCK rows, or one person."""
    first = 0
    ends = gallery.starts + gallery.counts
    while first < len(gallery):
        last = int(np.searchsorted(ends, gallery.starts[first] + GALLERY_BLOCK, side="right"))
        last = max(last, first + 1)
        yield slice(first, last), slice(int(gallery.starts[first]), int(ends[last - 1]))
        first = last


def _keep_largest(kept: NDArray[np.float64], scores: NDArray[np.float32]) -> None:
    """Merge [p, c] scores into the [p, t] largest so far, in place."""
    changed = np.flatnonzero(scores.max(axis=1) > kept.min(axis=1))
    if len(changed):
        top = kept.shape[1]
        merged = np.concatenate([kept[changed], scores[changed]], axis=1)
        kept[changed] = np.partition(merged, merged.shape[1] - top, axis=1)[:, -top:]


def _rescore(
    gallery: Gallery, queries: NDArray[np.float32], person: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return score and row of the best photo of the given person for each query, in float64."""
    score = np.empty(len(queries))
    row = np.empty(len(queries), np.int64)
    for index, query in enumerate(queries.astype(np.float64)):
        start = gallery.starts[person[index]]
        scores = gallery.vectors[start : start + gallery.counts[person[index]]].astype(np.float64) @ query
        row[index] = start + scores.argmax()
        score[index] = scores.max()
    return score, row
