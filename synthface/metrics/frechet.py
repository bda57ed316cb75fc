"""Frechet distance between two sets of features, each seen as one Gaussian (Heusel et al., arXiv 1706.08500, eq. 6).

The estimate from finite samples is biased upwards, by an amount that grows with the dimension and shrinks about as
1/n: only distances from equal numbers of images may be compared, and the distance between two samples of real images
of that size, not zero, is the floor. The kernel distance has no such bias.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.core.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of a set of features.

    Attributes:
        mean: [D] float64.
        covariance: [D, D] float64, with denominator n - 1.
        n: images they come from.
    """

    mean: Floats
    covariance: Floats
    n: int


@dataclass(frozen=True)
class FrechetDistance:
    """The squared distance and its two parts.

    Attributes:
        value: mean_part + covariance_part; what the field calls FID when the features are Inception's.
        mean_part: squared distance of the means.
        covariance_part: trace of the covariances minus twice the trace of the root of their product.
        n: images on either side; the bias depends on the smaller.
    """

    value: float
    mean_part: float
    covariance_part: float
    n: tuple[int, int]


def moments(features: ArrayLike, *, block_rows: int = 4096) -> Moments:
    """Return mean and covariance of features [N, D], in float64 whatever their type.

    Args:
        features: [N, D], N at least 2.
        block_rows: rows that are turned to float64 at once.

    Raises:
        DataError: fewer than 2 rows, or something that is not finite.
    """
    rows = np.asarray(features)
    if rows.ndim != 2 or len(rows) < 2:
        raise DataError(f"features of shape {rows.shape}: a covariance needs at least 2 rows")
    blocks = [slice(start, start + block_rows) for start in range(0, len(rows), block_rows)]
    mean = np.add.reduce([rows[block].astype(np.float64).sum(axis=0) for block in blocks]) / len(rows)
    scatter = np.zeros((rows.shape[1], rows.shape[1]))
    for block in blocks:
        centred = rows[block].astype(np.float64) - mean
        scatter += centred.T @ centred
    if not np.isfinite(scatter).all():
        raise DataError("features hold NaN or infinity")
    return Moments(mean, scatter / (len(rows) - 1), len(rows))


def frechet_distance(a: Moments, b: Moments) -> FrechetDistance:
    """Return the Frechet distance of two Gaussians.

    With A A' and B B' the covariances, the trace of the root of their product is the sum of the singular values of
    A' B. The factors come from symmetric eigenvalues, which rank-deficient covariances (fewer images than dimensions)
    do not upset; taking the root of the product itself would need eigenvalues of a matrix that is not symmetric, and
    would turn rounding errors of 1e-16 into 1e-8.
    """
    mean_part = float(np.square(a.mean - b.mean).sum())
    root_trace = float(np.linalg.svd(_factor(a.covariance).T @ _factor(b.covariance), compute_uv=False).sum())
    covariance_part = float(np.trace(a.covariance) + np.trace(b.covariance)) - 2 * root_trace
    return FrechetDistance(mean_part + covariance_part, mean_part, covariance_part, (a.n, b.n))


def _factor(covariance: Floats) -> Floats:
    """Return A [D, D] with A A' = covariance."""
    values, vectors = np.linalg.eigh(covariance)
    scaled: Floats = vectors * np.sqrt(np.maximum(values, 0))  # rounding leaves zeros slightly negative
    return scaled
