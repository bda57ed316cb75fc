"""Precision, recall, density, coverage and spread against plain loops, scikit-learn and closed forms."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from synthface.core.errors import DataError
from synthface.metrics.manifold import manifold_scores, squared_radii
from synthface.metrics.spread import between_group_variance, within_group_variance


def _plain(real: np.ndarray, generated: np.ndarray, k: int) -> tuple[float, float, float, float]:
    def radius(points: np.ndarray) -> list[float]:
        return [
            sorted(np.linalg.norm(p - q) for j, q in enumerate(points) if j != i)[k - 1] for i, p in enumerate(points)
        ]

    of_real, of_generated = radius(real), radius(generated)
    inside = [[np.linalg.norm(x - y) <= r for y in generated] for x, r in zip(real, of_real, strict=True)]
    recalled = [any(np.linalg.norm(x - y) <= r for y, r in zip(generated, of_generated, strict=True)) for x in real]
    precision = np.mean([any(row[j] for row in inside) for j in range(len(generated))])
    density = sum(map(sum, inside)) / (k * len(generated))
    return float(precision), float(np.mean(recalled)), density, float(np.mean([any(row) for row in inside]))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_four_scores_are_the_plain_loops_for_any_block(k: int) -> None:
    generator = np.random.default_rng(k)
    real, generated = generator.normal(size=(30, 3)), generator.normal(size=(24, 3)) * 0.7 + 0.6
    for block_rows in (1, 7, 1024):
        got = manifold_scores(real, generated, neighbours=k, block_rows=block_rows)
        assert (got.precision, got.recall, got.density, got.coverage) == pytest.approx(_plain(real, generated, k))
    assert (got.neighbours, got.n) == (k, (30, 24))


def test_radii_are_scikit_learns() -> None:
    points = np.random.default_rng(1).normal(size=(80, 10))
    distances, _ = NearestNeighbors(n_neighbors=5).fit(points).kneighbors()
    np.testing.assert_allclose(np.sqrt(squared_radii(points, 5, block_rows=32)), distances[:, -1], rtol=1e-9)


def test_scores_tell_the_failures_apart() -> None:
    generator = np.random.default_rng(2)
    real = generator.normal(size=(400, 4))
    alike = manifold_scores(real, generator.normal(size=(400, 4)))
    assert alike.density == pytest.approx(1, abs=0.1)  # its expectation for equal distributions (2002.09797, eq. 6)
    # Coverage expects 1 - prod_{i=0}^{k-1} (N - 1 - i) / (2N - 1 - i) with as many generated as real (eq. 9).
    odds = np.prod([(400 - 1 - i) / (800 - 1 - i) for i in range(5)])
    assert alike.coverage == pytest.approx(1 - odds, abs=0.02)
    far = manifold_scores(real, generator.normal(size=(400, 4)) + 50)
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)
    collapsed = manifold_scores(real, generator.normal(size=(400, 4)) * 1e-3)
    assert collapsed.precision == 1
    assert collapsed.recall < 0.01
    assert collapsed.coverage < 0.1


def test_one_far_point_inflates_recall_but_not_coverage() -> None:
    generator = np.random.default_rng(3)
    real = generator.normal(size=(200, 2))
    generated = np.concatenate((np.full((50, 2), 20.0) + generator.normal(size=(50, 2)) * 0.01, [[-20.0, -20.0]]))
    got = manifold_scores(real, generated)
    assert got.recall == 1
    assert got.coverage == 0


def test_too_few_points_are_refused() -> None:
    with pytest.raises(DataError, match="5 neighbours"):
        manifold_scores(np.zeros((5, 2)), np.zeros((9, 2)))
    with pytest.raises(DataError, match="shape"):
        manifold_scores(np.zeros((9, 2)), np.zeros((9, 3)))


def _half_squared(vectors: np.ndarray, i: int, j: int) -> float:
    return float(np.square(vectors[i] - vectors[j]).sum() / 2)


def test_spread_is_the_mean_over_pairs() -> None:
    generator = np.random.default_rng(4)
    values, groups = generator.normal(size=(14, 2, 3)), np.array([2, 0, 0, 1, 2, 2, 0, 5, 1, 0, 2, 0, 1, 1])
    within = []
    for group in (0, 1, 2):  # group 5 has one row
        members = np.flatnonzero(groups == group)
        within.append(np.mean([_half_squared(values, i, j) for i in members for j in members if i < j]))
    between = [_half_squared(values, i, j) for i in range(14) for j in range(14) if groups[i] != groups[j]]
    assert within_group_variance(values, groups) == pytest.approx(np.mean(within))
    assert between_group_variance(values, groups) == pytest.approx(np.mean(between))


def test_spread_of_unit_vectors_is_one_minus_the_mean_cosine() -> None:
    vectors = np.random.default_rng(5).normal(size=(12, 6))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    cosine = unit.astype(np.float64) @ unit.T
    groups = np.repeat([0, 1], 6)
    mated = (cosine[:6, :6].sum() - 6 + cosine[6:, 6:].sum() - 6) / 60
    assert within_group_variance(unit, groups) == pytest.approx(1 - mated, abs=1e-6)
    assert between_group_variance(unit, groups) == pytest.approx(1 - cosine[:6, 6:].mean(), abs=1e-6)


def test_equal_images_have_no_spread() -> None:
    values = np.tile(np.random.default_rng(6).integers(0, 255, (1, 4, 4, 3)), (6, 1, 1, 1))
    assert within_group_variance(values, np.repeat([0, 1], 3)) == 0
    assert between_group_variance(values, np.repeat([0, 1], 3)) == 0


def test_spread_needs_pairs() -> None:
    with pytest.raises(DataError, match="two images"):
        within_group_variance(np.zeros((3, 2)), [0, 1, 2])
    with pytest.raises(DataError, match="one group"):
        between_group_variance(np.zeros((3, 2)), [0, 0, 0])
