"""Adaptive symmetric score normalisation (AS-norm): how unusual is a score for both of its faces?

Some faces score high with everybody. A face's scores with its nearest strangers, an impostor cohort that shares nobody
with either set, say how high; a score is counted in their standard deviations above their mean, for both of its faces.
Matejka et al., "Analysis of score normalization in multilingual speaker recognition", Interspeech 2017, AS-norm1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import DataError

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
COHORT_TOP = 300
_QUERIES, _PHOTOS = 1024, 4096  # scores of a block: 16 MB
_SMALLEST_SD = 1e-6  # strangers who all score alike


@dataclass(frozen=True)
class CohortStatistics:
    """What each face scores with its nearest strangers.

    Attributes:
        mean: [N] mean of the largest scores with the cohort.
        sd: [N] their standard deviation (of the sample, divided by its size).
    """

    mean: Floats
    sd: Floats


def cohort_statistics(vectors: Vectors, cohort: Vectors, top: int = COHORT_TOP) -> CohortStatistics:
    """Return mean and spread of the ``top`` largest scores of each vector with the cohort (all, if it has fewer).

    Args:
        vectors: [N, D] unit vectors.
        cohort: [C, D] unit vectors of people who are in none of the sets compared.
        top: size of the adaptive part of the cohort.

    Raises:
        DataError: a cohort of fewer than two.
    """
    if len(cohort) < 2:
        raise DataError(f"an impostor cohort of {len(cohort)}: give the embeddings of at least two strangers")
    top = min(top, len(cohort))
    mean, sd = np.empty(len(vectors)), np.empty(len(vectors))
    rows = max(1, _QUERIES * _PHOTOS // len(cohort))
    for begin in range(0, len(vectors), rows):
        part = slice(begin, begin + rows)
        scores = vectors[part] @ cohort.T
        scores.partition(len(cohort) - top, axis=1)
        largest = scores[:, len(cohort) - top :].astype(np.float64)
        mean[part], sd[part] = largest.mean(axis=1), largest.std(axis=1)
    return CohortStatistics(mean, np.maximum(sd, _SMALLEST_SD))


def as_norm(scores: Floats, first: CohortStatistics, second: CohortStatistics) -> Floats:
    """Return z = 1/2 [(s - mu_x) / sd_x + (s - mu_y) / sd_y] for [n] scores of pairs.

    Args:
        scores: [n] or one for all pairs of [n, 1] and [m] statistics.
        first: of the first face of each pair.
        second: of the second.
    """
    return np.asarray(0.5 * ((scores - first.mean) / first.sd + (scores - second.mean) / second.sd), dtype=np.float64)


def nearest_normed(
    queries: Vectors, photos: Vectors, of_queries: CohortStatistics, of_photos: CohortStatistics
) -> tuple[Floats, NDArray[np.int64]]:
    """Return the highest normalised score of each query and the row of its photo, the first of equals.

    Every photo is compared: the one that is nearest by the plain score need not be by the normalised one.

    Args:
        queries: [N, D] unit vectors.
        photos: [M, D] unit vectors.
        of_queries: cohort statistics of the queries.
        of_photos: cohort statistics of the photos.
    """
    best, row = np.full(len(queries), -np.inf, np.float32), np.zeros(len(queries), np.int64)
    # 2 z = s (1 / sd_x + 1 / sd_y) - mu_y / sd_y - mu_x / sd_x; the last term is the same for all photos
    weight_x, weight_y = ((1 / part.sd).astype(np.float32) for part in (of_queries, of_photos))
    offset_y = (of_photos.mean / of_photos.sd).astype(np.float32)
    for first in range(0, len(photos), _PHOTOS):
        columns = slice(first, first + _PHOTOS)
        for begin in range(0, len(queries), _QUERIES):
            rows = slice(begin, begin + _QUERIES)
            values = queries[rows] @ photos[columns].T
            values *= weight_x[rows, None] + weight_y[None, columns]
            values -= offset_y[None, columns]
            winner = values.argmax(axis=1)
            value = values[np.arange(len(winner)), winner]
            better = value > best[rows]
            best[rows][better] = value[better]
            row[rows][better] = winner[better] + first
    scores = np.multiply(queries, photos[row], dtype=np.float64).sum(axis=1)
    return as_norm(scores, of_queries, CohortStatistics(of_photos.mean[row], of_photos.sd[row])), row


def hub_share(nearest: NDArray[np.int64]) -> float:
    """Return the share of the queries that have one and the same nearest photo, from [N] rows."""
    return float(np.bincount(nearest).max() / len(nearest)) if len(nearest) else 0.0


def normed_hub_share(queries: Vectors, photos: Vectors, cohort: Vectors) -> float:
    """Return the hub share of [N, D] queries among [M, D] photos by the normalised score; see the functions above."""
    _, nearest = nearest_normed(queries, photos, cohort_statistics(queries, cohort), cohort_statistics(photos, cohort))
    return hub_share(nearest)
