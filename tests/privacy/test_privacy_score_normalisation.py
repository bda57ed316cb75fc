"""AS-norm against its definition, score by score."""

import statistics

import numpy as np
import pytest

from synthface.core.errors import DataError
from synthface.privacy import score_normalisation
from synthface.privacy.score_normalisation import (
    CohortStatistics,
    as_norm,
    cohort_statistics,
    hub_share,
    nearest_normed,
    normed_hub_share,
)


def unit(rng: np.random.Generator, n: int, dimensions: int = 24) -> np.ndarray:
    vectors = rng.standard_normal((n, dimensions))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def naive(x: np.ndarray, y: np.ndarray, cohort: np.ndarray, top: int) -> float:
    """The formula, with Python's own sums."""

    def dot(a, b):
        return sum(float(p) * float(q) for p, q in zip(a, b, strict=True))

    parts = []
    for face in (x, y):
        nearest = sorted((dot(face, other) for other in cohort), reverse=True)[:top]
        parts.append((dot(x, y) - statistics.fmean(nearest)) / statistics.pstdev(nearest))
    return sum(parts) / 2


@pytest.mark.parametrize("top", [2, 7, 40, 300])
@pytest.mark.parametrize("block", [(3, 5), (1024, 4096)])
def test_equals_the_definition(monkeypatch, block, top):
    monkeypatch.setattr(score_normalisation, "_QUERIES", block[0])
    monkeypatch.setattr(score_normalisation, "_PHOTOS", block[1])
    rng = np.random.default_rng(0)
    queries, photos, cohort = unit(rng, 5), unit(rng, 9), unit(rng, 40)
    expected = np.array([[naive(x, y, cohort, top) for y in photos] for x in queries])
    of_queries, of_photos = (cohort_statistics(vectors, cohort, top) for vectors in (queries, photos))
    column = CohortStatistics(of_queries.mean[:, None], of_queries.sd[:, None])
    scores = queries.astype(np.float64) @ photos.astype(np.float64).T
    np.testing.assert_allclose(as_norm(scores, column, of_photos), expected, rtol=1e-4)
    value, row = nearest_normed(queries, photos, of_queries, of_photos)
    np.testing.assert_array_equal(row, expected.argmax(axis=1))
    np.testing.assert_allclose(value, expected.max(axis=1), rtol=1e-4)


def test_a_hub_loses_its_place():
    """A photo that is near to everybody, strangers too, is the nearest of most queries until scores are normalised."""
    rng = np.random.default_rng(1)
    centre = unit(rng, 1, 64)

    def faces(n):
        vectors = unit(rng, n, 64) + centre  # all faces have something in common ...
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    queries, photos, cohort = faces(2000), faces(300), faces(600)
    photos[17] = centre[0]  # ... and one photo has nothing else
    raw = (queries @ photos.T).argmax(axis=1)
    normed = normed_hub_share(queries, photos, cohort)
    assert hub_share(raw) > 0.5
    assert raw.tolist().count(17) == round(hub_share(raw) * 2000)
    assert normed < 0.1


def test_equal_photos_go_by_row():
    rng = np.random.default_rng(2)
    photos, cohort, queries = np.repeat(unit(rng, 4), 3, axis=0), unit(rng, 20), unit(rng, 30)
    _, row = nearest_normed(queries, photos, cohort_statistics(queries, cohort), cohort_statistics(photos, cohort))
    assert (row % 3 == 0).all()


def test_a_cohort_that_all_scores_alike_gives_finite_numbers():
    rng = np.random.default_rng(3)
    queries, photos, cohort = unit(rng, 5), unit(rng, 5), np.repeat(unit(rng, 1), 9, axis=0)
    value, _ = nearest_normed(queries, photos, cohort_statistics(queries, cohort), cohort_statistics(photos, cohort))
    assert np.isfinite(value).all()


def test_one_stranger_is_no_cohort():
    with pytest.raises(DataError, match="at least two strangers"):
        cohort_statistics(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[:1])


def test_hub_share_counts_the_commonest_row():
    assert hub_share(np.array([5, 2, 5, 9])) == 0.5
    assert hub_share(np.array([], dtype=np.int64)) == 0.0
