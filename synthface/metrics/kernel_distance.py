"""Kernel distance: unbiased squared MMD with a cubic kernel (Binkowski et al., arXiv 1801.01401, section 3)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.core.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class KernelDistance:
    """An unbiased estimate, so it may be slightly negative, with its standard error.

    Attributes:
        value: squared maximum mean discrepancy.
        standard_error: delete-one-group jackknife over both sets; on the cautious side when the sets are alike.
        n: rows on either side.
    """

    value: float
    standard_error: float
    n: tuple[int, int]


def kernel_distance(
    a: ArrayLike,
    b: ArrayLike,
    *,
    scale: float | None = None,
    groups_a: ArrayLike | None = None,
    groups_b: ArrayLike | None = None,
    block_rows: int = 1024,
) -> KernelDistance:
    """Return the squared MMD under k(x, y) = (scale x.y + 1)^3.

    All pairs are used once, and leaving a group out needs only sums over rows: unlike the usual mean over random
    subsets, value and error are functions of the data alone.

    Args:
        a: [N, D] features.
        b: [M, D] features.
        scale: factor of the scalar product; 1/D as published if None. Give 1 for unit vectors: 1/D would make the
            kernel nearly linear, and blind to all but the mean.
        groups_a: [N] what belongs together in ``a``, such as the images of a person; each row by itself if None.
        groups_b: [M] the same for ``b``.
        block_rows: rows of the kernel matrix held at once.

    Raises:
        DataError: fewer than 2 groups on a side, or features that do not fit each other.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise DataError(f"features of shape {x.shape} and {y.shape}: give [N, D] and [M, D]")
    factor = 1 / x.shape[1] if scale is None else scale
    inside_x, inside_y = _Within.of(x, groups_a, factor, block_rows), _Within.of(y, groups_b, factor, block_rows)
    cross_x, cross_y = _cross_sums(x, y, inside_x.index, inside_y.index, factor, block_rows)
    cross, n, m = cross_x.sum(), len(x), len(y)
    inner_x, inner_y = inside_x.mean(), inside_y.mean()
    value = inner_x + inner_y - 2 * cross / (n * m)
    without_x = inside_x.means_without() + inner_y - 2 * (cross - cross_x) / ((n - inside_x.sizes) * m)
    without_y = inner_x + inside_y.means_without() - 2 * (cross - cross_y) / (n * (m - inside_y.sizes))
    error = np.sqrt(_jackknife_variance(without_x) + _jackknife_variance(without_y))
    return KernelDistance(float(value), float(error), (n, m))


@dataclass(frozen=True)
class _Within:
    """Sums of the kernel over ordered pairs of different rows of one set, split by group."""

    index: NDArray[np.int64]  # [N] group of each row
    sizes: Floats  # [G] rows a group
    touching: Floats  # [G] sum over pairs whose first row is in the group
    inside: Floats  # [G] sum over pairs with both rows in the group

    @classmethod
    def of(cls, x: Floats, groups: ArrayLike | None, factor: float, block_rows: int) -> "_Within":
        index = np.arange(len(x)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
        sizes = np.bincount(index).astype(np.float64)
        if len(sizes) < 3 or len(index) != len(x):
            raise DataError(f"{len(sizes)} groups for {len(x)} rows: a kernel distance needs at least 3 groups a set")
        touching, inside = np.zeros(len(sizes)), np.zeros(len(sizes))
        for start in range(0, len(x), block_rows):
            rows = index[start : start + block_rows]
            kernel = _cubic(x[start : start + block_rows], x, factor)
            kernel[np.arange(len(rows)), np.arange(start, start + len(rows))] = 0  # no row with itself
            np.add.at(touching, rows, kernel.sum(axis=1))
            np.add.at(inside, rows, np.where(rows[:, None] == index, kernel, 0).sum(axis=1))
        return cls(index.astype(np.int64), sizes, touching, inside)

    def mean(self) -> float:
        n = self.sizes.sum()
        return float(self.touching.sum() / (n * (n - 1)))

    def means_without(self) -> Floats:
        left = self.sizes.sum() - self.sizes
        means: Floats = (self.touching.sum() - 2 * self.touching + self.inside) / (left * (left - 1))
        return means


def _cross_sums(
    x: Floats, y: Floats, index_x: NDArray[np.int64], index_y: NDArray[np.int64], factor: float, block_rows: int
) -> tuple[Floats, Floats]:
    """Return the sums of the kernel between the sets, split by the groups of either."""
    sums_x, sums_y = np.zeros(index_x.max() + 1), np.zeros(index_y.max() + 1)
    for start in range(0, len(x), block_rows):
        kernel = _cubic(x[start : start + block_rows], y, factor)
        np.add.at(sums_x, index_x[start : start + block_rows], kernel.sum(axis=1))
        np.add.at(sums_y, index_y, kernel.sum(axis=0))
    return sums_x, sums_y


def _cubic(x: Floats, y: Floats, factor: float) -> Floats:
    base: Floats = x @ y.T * factor + 1
    return base * base * base


def _jackknife_variance(without: Floats) -> float:
    """Return the variance of an estimate from its values with one group left out (Efron and Stein, 1981)."""
    return float((len(without) - 1) * without.var())
