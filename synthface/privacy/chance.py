"""How high the best of so many people scores by chance: the yardstick of the per-class alarm."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
FEWEST_MAXIMA = 10  # independent ones; a tail fitted to fewer errs downward
_LARGEST_SHAPE = 0.25
_SMALLEST_P = 1e-12  # no tail is known that far
_FENCE = 10  # times the distance from median to upper quartile; a Gumbel variable is beyond it once in 10,000


@dataclass(frozen=True)
class ChanceMaxima:
    """Best scores that are known to be chance, and the chance of higher ones.

    Inside the range of the observed maxima the p-value is their exact rank. Beyond it, it comes from a generalised
    extreme value distribution F(x) = exp(-(1 - k (x - location) / scale)^(1/k)) fitted by L-moments (Hosking, Wallis
    and Wood, Technometrics 27 (1985) 251-261, equations 14 and 15). Cosine scores are bounded, so k is positive; the
    lower end of its 99.8 % interval is used, and nothing below 0 (the Gumbel distribution), and the upper 95 % end of
    the scale, so that p errs upward, the more so the fewer maxima there are. A few
    maxima far off are people who really are in both sets, under two names; the fit leaves them out, the rank does not.
    Of fewer than ten independent maxima the spread cannot be told, so nothing is said beyond their exact rank.

    Attributes:
        maxima: [K] sorted.
        independent: how many of them are.
        location: of the fit.
        scale: of the fit.
        shape: k, from 0 to 0.25.
    """

    maxima: Scores
    independent: int
    location: float
    scale: float
    shape: float

    @classmethod
    def fit(cls, maxima: Scores, independent: int | None = None) -> "ChanceMaxima":
        """Fit the tail to [K] best scores.

        Args:
            maxima: best scores.
            independent: how many of them are: images of one class are not; all by default.
        """
        from scipy.special import gamma

        everything = np.sort(maxima)
        apart = min(len(everything), independent or len(everything))
        ordered = _without_far_off(everything)
        n = len(ordered)
        certain = min(n, apart)
        rank = np.arange(n)
        b0, b1, b2 = (  # probability-weighted moments
            float(ordered.mean()),
            float((ordered * rank).sum() / max(1, n * (n - 1))),
            float((ordered * rank * (rank - 1)).sum() / max(1, n * (n - 1) * (n - 2))),
        )
        spread, skewness = max(2 * b1 - b0, 1e-9), 6 * b2 - 6 * b1 + b0
        c = 2 / (3 + skewness / spread) - np.log(2) / np.log(3)
        shape = 7.8590 * c + 2.9554 * c * c
        shape -= 3.09 * np.sqrt(0.5633 / certain)  # its asymptotic variance for k near 0
        shape = float(np.clip(shape, 0.0, _LARGEST_SHAPE))
        wider = 1 + 1.645 * float(np.sqrt(0.8046 / certain))  # its asymptotic variance for k = 0
        if shape < 1e-6:
            scale = spread / np.log(2)
            return cls(everything, apart, b0 - np.euler_gamma * scale, wider * scale, 0.0)
        scale = spread * shape / ((1 - 2.0**-shape) * gamma(1 + shape))
        location = b0 - scale * (1 - gamma(1 + shape)) / shape
        return cls(everything, apart, location, wider * scale, shape)

    def p_values(self, scores: Scores) -> Scores:
        """Return the chance of a best score at least as high: the rank among the maxima, or the tail beyond them."""
        n = len(self.maxima)
        rank = (1 + n - np.searchsorted(self.maxima, scores, side="left")) / (n + 1)
        if self.independent < FEWEST_MAXIMA:
            return np.maximum(rank, 1 / (self.independent + 1))
        return np.where(scores > self.maxima[-1], np.minimum(self.tail(scores), 1 / (n + 1)), rank)

    def tail(self, scores: Scores) -> Scores:
        """Return the same chance by the fitted distribution alone."""
        reduced = (scores - self.location) / self.scale
        if self.shape > 0:
            with np.errstate(divide="ignore"):
                reduced = -np.log(np.maximum(1 - self.shape * reduced, 0)) / self.shape
        return np.maximum(-np.expm1(-np.exp(-np.maximum(reduced, -30))), _SMALLEST_P)


def _without_far_off(ordered: Scores) -> Scores:
    """Leave out values beyond the fence; where they are more than 1 %, they are no exceptions and stay."""
    middle, upper = np.quantile(ordered, [0.5, 0.75])
    near = ordered[ordered <= middle + _FENCE * (upper - middle)]
    return near if len(near) >= 0.99 * len(ordered) else ordered


def centre(scores: Scores) -> Scores:
    """Take off each row's mean over all real people: some faces are nearer to everybody than others."""
    return np.asarray(scores - scores.mean(axis=1, keepdims=True))
