"""How many people fit into the part of the sphere that a set takes up: an upper bound, not a count."""

import numpy as np
from numpy.typing import NDArray

_ROWS = 1024


def cap_share(angle: float, dimensions: int) -> float:
    """Return the share of the unit sphere in D dimensions that lies within an angle (0 to pi) of a point.

    S. Li, "Concise formulas for the area and volume of a hyperspherical cap", Asian J. Math. Stat. 4 (2011) 66-70.
    """
    from scipy.special import betainc

    smaller = float(betainc((dimensions - 1) / 2, 0.5, np.sin(angle) ** 2)) / 2
    return smaller if angle <= np.pi / 2 else 1 - smaller


def log_capacity(
    templates: NDArray[np.float32], class_scores: NDArray[np.float64], threshold: float, *, quantile: float = 0.05
) -> float:
    """Return log10 of how many people the set has room for.

    The ratio of two caps: of half the angle that the set spans (the ``quantile`` of each class's least similar other
    class), and of half the angle that one class spans, both widened by half the angle of the threshold. After Boddeti,
    Sreekumar and Ross, "On the biometric capacity of generative face models" (IJCB 2023).

    Args:
        templates: [K, D] template of each class.
        class_scores: scores of image pairs within classes; their median is a class's extent.
        threshold: score from which two images are the same person.
        quantile: see above; it leaves out single classes far off.
    """
    lowest = np.concatenate(
        [(templates[begin : begin + _ROWS] @ templates.T).min(axis=1) for begin in range(0, len(templates), _ROWS)]
    )
    margin = _angle(threshold) / 2
    spread = _angle(float(np.quantile(lowest, quantile))) / 2
    own = _angle(float(np.median(class_scores))) / 2
    dimensions = templates.shape[1]
    inner, outer = (cap_share(angle + margin, dimensions) for angle in (own, max(spread, own)))
    return max(0.0, float(np.log10(max(outer, 1e-300)) - np.log10(max(inner, 1e-300))))


def _angle(cosine: float) -> float:
    return float(np.arccos(np.clip(cosine, -1.0, 1.0)))
