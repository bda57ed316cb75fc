"""Frechet and kernel distance against closed forms, plain loops, scipy and torchmetrics."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from synthface.core.errors import DataError
from synthface.metrics.frechet import Moments, frechet_distance, moments
from synthface.metrics.kernel_distance import kernel_distance


def _features(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n, d)) @ generator.normal(size=(d, d)) + shift


def test_moments_are_numpys_and_do_not_depend_on_the_blocks() -> None:
    x = _features(50, 6, 0).astype(np.float32)
    for block_rows in (1, 7, 4096):
        got = moments(x, block_rows=block_rows)
        np.testing.assert_allclose(got.mean, x.astype(np.float64).mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(got.covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-10)
    assert got.n == 50


def test_frechet_of_commuting_gaussians_is_the_closed_form() -> None:
    a = Moments(np.array([1.0, 2.0]), np.diag([4.0, 9.0]), 10)
    b = Moments(np.array([0.0, 4.0]), np.diag([1.0, 25.0]), 20)
    got = frechet_distance(a, b)
    assert got.mean_part == pytest.approx(1 + 4)
    assert got.covariance_part == pytest.approx((2 - 1) ** 2 + (3 - 5) ** 2)
    assert (got.value, got.n) == (pytest.approx(10), (10, 20))


def test_frechet_agrees_with_the_matrix_root_and_with_torchmetrics() -> None:
    a, b = moments(_features(200, 12, 1)), moments(_features(150, 12, 2, shift=0.3))
    root = np.trace(sqrtm(a.covariance @ b.covariance).real)
    expected = np.square(a.mean - b.mean).sum() + np.trace(a.covariance) + np.trace(b.covariance) - 2 * root
    published = _compute_fid(*(torch.from_numpy(part) for part in (a.mean, a.covariance, b.mean, b.covariance)))
    assert frechet_distance(a, b).value == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(a, b).value == pytest.approx(published.item(), rel=1e-9)
    assert frechet_distance(b, a).value == pytest.approx(frechet_distance(a, b).value, rel=1e-9)


def test_frechet_holds_with_fewer_images_than_dimensions() -> None:
    a = moments(_features(5, 40, 3))
    assert frechet_distance(a, a).value == pytest.approx(0, abs=1e-9 * np.trace(a.covariance))
    shifted = Moments(a.mean + 1, a.covariance, a.n)
    assert frechet_distance(a, shifted).value == pytest.approx(40, rel=1e-9)


def test_frechet_is_biased_upwards_as_documented() -> None:
    generator = np.random.default_rng(4)
    few, many = (
        np.mean(
            [frechet_distance(*(moments(generator.normal(size=(n, 16))) for _ in range(2))).value for _ in range(5)]
        )
        for n in (50, 200)
    )
    assert few > 2 * many > 0


@pytest.mark.parametrize("bad", [np.zeros((1, 3)), np.zeros(3), np.full((4, 2), np.nan)])
def test_moments_refuse_what_has_none(bad: np.ndarray) -> None:
    with pytest.raises(DataError):
        moments(bad)


def _plain_mmd(x: np.ndarray, y: np.ndarray, scale: float) -> float:
    def mean(a: np.ndarray, b: np.ndarray, skip: bool) -> float:
        return np.mean(
            [(scale * (p @ q) + 1) ** 3 for i, p in enumerate(a) for j, q in enumerate(b) if not (skip and i == j)]
        )

    return float(mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False))


def test_kernel_distance_is_the_plain_double_sum_and_torchmetrics() -> None:
    x, y = _features(23, 4, 5), _features(23, 4, 6, shift=0.5)
    published = poly_mmd(torch.from_numpy(x), torch.from_numpy(y)).item()
    assert kernel_distance(x, y).value == pytest.approx(published, rel=1e-10)
    assert kernel_distance(x, y).value == pytest.approx(_plain_mmd(x, y, 1 / 4), rel=1e-10)
    assert kernel_distance(x, y[:9], scale=1.0).value == pytest.approx(_plain_mmd(x, y[:9], 1.0), rel=1e-10)


def test_kernel_distance_does_not_depend_on_the_blocks() -> None:
    x, y = _features(40, 3, 7), _features(31, 3, 8)
    groups = np.arange(40) // 4
    whole = kernel_distance(x, y, groups_a=groups)
    for block_rows in (1, 6, 39):
        got = kernel_distance(x, y, groups_a=groups, block_rows=block_rows)
        assert (got.value, got.standard_error) == pytest.approx((whole.value, whole.standard_error), rel=1e-9)


@pytest.mark.parametrize("grouped", [False, True])
def test_the_standard_error_is_the_plain_jackknife(grouped: bool) -> None:
    x, y = _features(12, 3, 9), _features(10, 3, 10)
    of_x = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 4, 5]) if grouped else np.arange(12)
    of_y = np.array([7, 7, 5, 5, 5, 3, 3, 2, 2, 1]) if grouped else np.arange(10)
    variance = 0.0
    left_out = [[(x[of_x != g], y) for g in np.unique(of_x)], [(x, y[of_y != g]) for g in np.unique(of_y)]]
    for pairs in left_out:
        values = np.array([kernel_distance(a, b).value for a, b in pairs])
        variance += (len(values) - 1) / len(values) * np.square(values - values.mean()).sum()
    got = kernel_distance(x, y, groups_a=of_x, groups_b=of_y)
    assert got.standard_error == pytest.approx(np.sqrt(variance), rel=1e-9)


def test_kernel_distance_is_unbiased_and_its_error_is_of_the_right_size() -> None:
    """For a linear shift d of standard normals under scale 1/D: E k = E (s x.y + 1)^3, worked out by moments."""
    generator, d = np.random.default_rng(11), 8
    same, shifted = [], []
    for _ in range(60):
        x, y = generator.normal(size=(2, 60, d))
        same.append(kernel_distance(x, y).value)
        shifted.append(kernel_distance(x, y + 0.5))
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(len(same))
    values = [got.value for got in shifted]
    errors = [got.standard_error for got in shifted]
    # E (t + 1)^3 with t = x.y / d: 1 + 3 E t + 3 E t^2 + E t^3; the means are 0 or m = 0.5 in each coordinate.
    m2 = 0.25 * d
    inner = 1 + 3 * 1 / d
    outer = 1 + 3 * (d + m2) / d**2
    both = 1 + 3 * m2 / d + 3 * (d + 2 * m2 + m2**2) / d**2 + (m2**3 + 3 * m2 * (d + 2 * m2) + 6 * m2) / d**3
    assert np.mean(values) == pytest.approx(inner + both - 2 * outer, abs=4 * np.std(values) / np.sqrt(len(values)))
    assert 0.8 < np.mean(errors) / np.std(values) < 1.4


def test_kernel_distance_refuses_too_few_groups() -> None:
    with pytest.raises(DataError, match="groups"):
        kernel_distance(np.zeros((4, 2)), np.zeros((4, 2)), groups_a=[0, 0, 1, 1])
    with pytest.raises(DataError, match="shape"):
        kernel_distance(np.zeros((4, 2)), np.zeros((4, 3)))
