"""False match rates beyond the largest scores that were seen: a generalised Pareto tail.

A secondary indicator only: what lies past the data is a guess of the model's, so it goes no further than two decades.
ISO/IEC 5152:2024 estimates biometric error rates this way; the method is Davison and Smith, "Models for exceedances
over high thresholds", JRSS B 52 (1990) 393-442.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface.metrics.intervals import Interval

Scores = NDArray[np.float64]
_DECADES = 2
_SHAPES = (-1.0, 1.0)
_LOWEST = -1e300


@dataclass(frozen=True)
class ParetoTail:
    """P(s > t) = share (1 + shape (t - level) / scale)^(-1/shape) for t above a level.

    Attributes:
        level: u, above which the model holds.
        share: P(s > u).
        shape: xi; below 0 the scores have an upper end.
        scale: beta.
        excesses: [m] scores above the level, less the level.
    """

    level: float
    share: float
    shape: float
    scale: float
    excesses: Scores

    @classmethod
    def fit(cls, largest: Scores, n: int, share: float = 1e-3) -> "ParetoTail":
        """Fit by maximum likelihood to the largest scores.

        Args:
            largest: at least the ``share * n`` + 1 largest of them.
            n: number of scores that there are in all.
            share: part of them above the level.
        """
        from scipy.optimize import minimize_scalar

        ordered = np.sort(largest)[::-1]
        m = max(2, min(int(share * n), len(ordered) - 1))
        level = float(ordered[m])
        excesses = np.maximum(ordered[:m] - level, 1e-12)
        # Grimshaw: the likelihood depends on theta = shape / scale alone once shape is solved for
        mean = float(excesses.mean())
        best: tuple[float, float, float] = (-np.inf, 0.0, mean)
        for shape in np.linspace(*_SHAPES, 41):
            result = minimize_scalar(
                lambda log_scale, shape=shape: -_log_likelihood(excesses, shape, float(np.exp(log_scale))),
                bounds=(np.log(mean) - 4, np.log(mean) + 4),
                method="bounded",
            )
            best = max(best, (-float(result.fun), float(shape), float(np.exp(result.x))))
        shape, scale = _polish(excesses, best[1], best[2])
        return cls(level, m / n, shape, scale, excesses)

    @property
    def furthest(self) -> float:
        """The smallest probability that is told: two decades beyond the data."""
        return self.share / (len(self.excesses) * 10.0**_DECADES)

    def probability(self, score: float) -> float:
        """Return P(s > score), not below ``furthest``.

        Raises:
            ValueError: the score is below the level, where the data speak for themselves.
        """
        if score < self.level:
            raise ValueError(f"score {score} is below the level {self.level} of the tail; count instead")
        return max(self.furthest, self.share * _survival(score - self.level, self.shape, self.scale))

    def interval(self, score: float, level: float = 0.95) -> Interval:
        """Return the profile-likelihood interval of ``probability``; pairs that share people make it too narrow."""
        from scipy.optimize import brentq, minimize_scalar
        from scipy.stats import chi2

        if score <= self.level:
            return Interval(self.share, self.share)
        excess = score - self.level
        top = _log_likelihood(self.excesses, self.shape, self.scale)
        allowed = float(chi2.ppf(level, 1)) / 2

        def lack(log_ratio: float) -> float:
            """How far the best fit with P(s > score | s > level) = exp(log_ratio) lies below the best of all."""
            result = minimize_scalar(
                lambda shape: -_log_likelihood(self.excesses, shape, _scale_through(excess, shape, log_ratio)),
                bounds=_SHAPES,
                method="bounded",
            )
            return top + float(result.fun) - allowed

        floor = float(np.log(self.furthest / self.share))
        at = float(np.log(max(_survival(excess, self.shape, self.scale), self.furthest / self.share)))
        high = -1e-9 if lack(-1e-9) < 0 else float(brentq(lack, at, -1e-9)) if lack(at) < 0 else at
        low = floor if at <= floor or lack(floor) < 0 else float(brentq(lack, floor, at))
        return Interval(self.share * float(np.exp(low)), self.share * float(np.exp(high)))


def _survival(excess: float, shape: float, scale: float) -> float:
    from scipy.stats import genpareto

    return float(genpareto.sf(excess, shape, scale=scale))


def _log_likelihood(excesses: Scores, shape: float, scale: float) -> float:
    if not scale > 0:
        return _LOWEST
    if abs(shape) < 1e-8:
        return float(-len(excesses) * np.log(scale) - excesses.sum() / scale)
    inner = 1 + shape * excesses / scale
    if inner.min() <= 0:
        return _LOWEST
    return float(-len(excesses) * np.log(scale) - (1 + 1 / shape) * np.log(inner).sum())


def _scale_through(excess: float, shape: float, log_ratio: float) -> float:
    """Return the scale with which a tail of this shape has exp(log_ratio) beyond the excess."""
    if abs(shape) < 1e-8:
        return -excess / log_ratio
    return float(shape * excess / np.expm1(-shape * log_ratio))


def _polish(excesses: Scores, shape: float, scale: float) -> tuple[float, float]:
    from scipy.optimize import minimize

    result = minimize(
        lambda x: -_log_likelihood(excesses, float(np.clip(x[0], *_SHAPES)), float(np.exp(x[1]))),
        x0=[shape, np.log(scale)],
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-9},
    )
    return float(np.clip(result.x[0], *_SHAPES)), float(np.exp(result.x[1]))
