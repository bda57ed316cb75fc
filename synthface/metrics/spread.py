"""How much images of one group differ from each other, in features or in pixels."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.core.errors import DataError


def within_group_variance(values: ArrayLike, groups: ArrayLike) -> float:
    """Return the unbiased total variance within a group, averaged over groups of at least two rows.

    For unit vectors this is one minus the mean cosine between two rows of a group: half the mean squared distance of
    all pairs, without forming a pair.

    Args:
        values: [N, ...] features or pixels.
        groups: [N] group of each row.

    Raises:
        DataError: no group has two rows.
    """
    rows = np.asarray(values)
    order, starts = _sorted_groups(np.asarray(groups))
    variances = []
    for members in np.split(order, starts):
        if len(members) > 1:
            part = rows[members].reshape(len(members), -1).astype(np.float64)
            variances.append(part.var(axis=0, ddof=1).sum())
    if not variances:
        raise DataError("no group has two images, so nothing is known about variety within a group")
    return float(np.mean(variances))


def between_group_variance(values: ArrayLike, groups: ArrayLike) -> float:
    """Return half the mean squared distance between two rows of different groups, all such pairs counting alike.

    For unit vectors this is one minus the mean cosine of non-mated pairs.

    Args:
        values: [N, ...] features or pixels.
        groups: [N] group of each row.

    Raises:
        DataError: all rows are of one group.
    """
    rows = np.asarray(values).reshape(len(np.asarray(values)), -1).astype(np.float64)
    order, starts = _sorted_groups(np.asarray(groups))
    all_pairs = _pair_sum(rows)
    sizes = []
    for members in np.split(order, starts):
        all_pairs -= _pair_sum(rows[members])
        sizes.append(len(members))
    n_pairs = len(rows) ** 2 - sum(size**2 for size in sizes)
    if not n_pairs:
        raise DataError("all images are of one group, so nothing is known about variety between groups")
    return float(max(all_pairs, 0.0) / n_pairs / 2)


def _pair_sum(rows: NDArray[np.float64]) -> float:
    """Return the sum of squared distances over all ordered pairs: 2 n times the scatter around the mean."""
    return float(2 * len(rows) * np.square(rows - rows.mean(axis=0)).sum())


def _sorted_groups(groups: NDArray[np.generic]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows sorted by group, and where each group but the first starts."""
    order = np.argsort(groups, kind="stable")
    _, starts = np.unique(groups[order], return_index=True)
    return order, starts[1:]
