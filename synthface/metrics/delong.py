"""Area under the ROC curve with DeLong's interval."""

import numpy as np
from numpy.typing import NDArray

from synthface.metrics.intervals import Interval

Scores = NDArray[np.float64]


def delong_auc(positive: Scores, negative: Scores, level: float = 0.95) -> tuple[float, Interval]:
    """Return the area under the ROC curve and its two-sided interval.

    Variance from the structural components (DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837-845), each the
    share of the other side that a score beats, ties counting half; in O(n log n), as in Sun and Xu (IEEE SPL 21, 2014).

    Args:
        positive: scores that should be high.
        negative: scores that should be low.
        level: two-sided confidence.
    """
    from scipy.special import ndtri

    below = placements(positive, negative)  # share of negatives each positive beats
    above = 1 - placements(negative, positive)  # share of positives that beat each negative
    area = float(below.mean())
    variance = _sample_variance(below) / len(positive) + _sample_variance(above) / len(negative)
    margin = float(ndtri((1 + level) / 2)) * float(np.sqrt(variance))
    return area, Interval(max(0.0, area - margin), min(1.0, area + margin))


def placements(values: Scores, reference: Scores) -> Scores:
    """Return [n] the share of the reference below each value, ties counting half."""
    ordered = np.sort(reference)
    strictly = np.searchsorted(ordered, values, side="left")
    at_most = np.searchsorted(ordered, values, side="right")
    return np.asarray((strictly + at_most) / (2 * len(ordered)), dtype=np.float64)


def _sample_variance(values: Scores) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.25
