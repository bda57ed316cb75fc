"""The Mann-Whitney test as a z-score, for values that come in clusters."""

import numpy as np
from numpy.typing import NDArray

from synthface.metrics.delong import placements

Values = NDArray[np.float64]
Labels = NDArray[np.generic]


def clustered_area(
    first: Values, second: Values, first_clusters: Labels, second_clusters: Labels
) -> tuple[float, float]:
    """Return P(first > second) and its variance where values of one cluster depend on each other.

    Photos of one person and images of one class are alike, so they are no independent draws; treated as such, their
    z-score is several times too large. Obuchowski, Biometrics 53 (1997) 567-578, for clusters that lie on one side.
    """
    beats = placements(first, second)  # each first value: share of second below
    beaten = 1 - placements(second, first)
    area = float(beats.mean())
    return area, _cluster_variance(beats - area, first_clusters) + _cluster_variance(beaten - area, second_clusters)


def clustered_z(first: Values, second: Values, first_clusters: Labels, second_clusters: Labels) -> float:
    """Return the z-score of P(first > second) - 1/2 under clustering: negative where ``first`` is the smaller one."""
    area, variance = clustered_area(first, second, first_clusters, second_clusters)
    return (area - 0.5) / float(np.sqrt(variance)) if variance > 0 else 0.0


def _cluster_variance(deviations: Values, clusters: Labels) -> float:
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.bincount(index, weights=deviations)
    n_clusters = len(sums)
    if n_clusters < 2:
        return 0.25
    return float(n_clusters / (n_clusters - 1) * (sums**2).sum() / len(deviations) ** 2)
