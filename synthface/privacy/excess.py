"""A2: are training people nearer to the synthetic set than people held out at random?

Under "no leak" the tags training / hold-out are exchangeable over people, so re-dealing them gives an exact test,
whatever the recogniser, the number of comparisons or their dependence.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.metrics.verification import allowed_false_matches
from synthface.privacy.config import AuditConfig
from synthface.privacy.permutation import hypergeometric_tail, mean_difference_null, p_value
from synthface.privacy.verdict import Check, Interval

Scores = NDArray[np.float64]
_CELLS = 4_000_000


@dataclass(frozen=True)
class ResidualRisk:
    """Share of training people above the level that a given share of the hold-out exceeds, beyond that share.

    R = (r_T - r_H) / (1 - r_H): the risk that is left after taking off what a person who was never used runs.

    Attributes:
        value: R.
        interval: by resampling people on both sides; the threshold moves along.
        train: r_T.
        holdout: r_H.
    """

    value: float
    interval: Interval
    train: float
    holdout: float


def residual_risk(
    train: Scores, holdout: Scores, *, at: float, confidence: float, bootstraps: int, rng: np.random.Generator
) -> ResidualRisk:
    """Measure the residual risk at the level that a share ``at`` of the hold-out exceeds."""
    above = allowed_false_matches(at, len(holdout))  # hold-out people above the threshold
    ordered_train, ordered_holdout = np.sort(train), np.sort(holdout)
    threshold = ordered_holdout[-above - 1]
    r_train, r_holdout = float(np.mean(train > threshold)), float(np.mean(holdout > threshold))
    draws = []
    rows = max(1, _CELLS // len(holdout))
    for begin in range(0, bootstraps, rows):
        ranks = np.sort(rng.integers(len(holdout), size=(min(rows, bootstraps - begin), len(holdout))), axis=1)
        level = ordered_holdout[ranks[:, -above - 1]]
        share = 1 - np.searchsorted(ordered_train, level, side="right") / len(train)
        resampled_train = rng.binomial(len(train), share) / len(train)
        resampled_holdout = (ordered_holdout[ranks] > level[:, None]).mean(axis=1)
        draws.append((resampled_train - resampled_holdout) / (1 - resampled_holdout))
    low, high = np.quantile(np.concatenate(draws), [1 - confidence, confidence])
    value = (r_train - r_holdout) / (1 - r_holdout)
    return ResidualRisk(value, (float(low), float(high)), r_train, r_holdout)


def excess_checks(
    train: Scores, holdout: Scores, config: AuditConfig, rng: np.random.Generator, recognizer: str
) -> list[Check]:
    """Return the three checks of gate A2: mean excess, share of the largest scores, residual risk."""
    people: dict[str, Any] = {"n": len(train) + len(holdout), "unit": "people"}
    share = len(train) / (len(train) + len(holdout))
    null = mean_difference_null(train, holdout, config.permutations, rng)
    p_mean = p_value(null, float(train.mean() - holdout.mean()))
    n_tail = max(1, min(config.tail_people, (len(train) + len(holdout)) // 10))
    hits, p_tail = hypergeometric_tail(train, holdout, n_tail)
    checks = [
        Check(
            recognizer=recognizer,
            key="mean_excess",
            statistic="permutation p of the mean excess of training over hold-out people",
            value=p_mean,
            rule=">",
            threshold=config.alpha,
            passed=p_mean > config.alpha,
            training=float(train.mean()),
            control=float(holdout.mean()),
            p_value=p_mean,
            **people,
        ),
        Check(
            recognizer=recognizer,
            key="tail_share",
            statistic=f"p of {hits} training people among the {n_tail} nearest people ({share * n_tail:.1f} by chance)",
            value=p_tail,
            rule=">",
            threshold=config.alpha,
            passed=p_tail > config.alpha,
            training=hits / n_tail,
            control=1 - hits / n_tail,
            p_value=p_tail,
            **people,
        ),
    ]
    return [*checks, _residual_check(train, holdout, config, rng, recognizer)]


def _residual_check(
    train: Scores, holdout: Scores, config: AuditConfig, rng: np.random.Generator, recognizer: str
) -> Check:
    statistic = f"residual risk at a hold-out risk of {config.residual_at:.0%}, upper bound"
    if len(holdout) * config.residual_at < 1:
        return Check(
            recognizer=recognizer,
            key="residual_risk",
            statistic=statistic,
            value=np.nan,
            rule="upper <=",
            threshold=config.max_residual,
            passed=None,
            n=len(holdout),
            unit="hold-out people",
            need=f"at least {int(np.ceil(1 / config.residual_at))} hold-out people, to read the residual risk",
        )
    risk = residual_risk(
        train,
        holdout,
        at=config.residual_at,
        confidence=config.confidence,
        bootstraps=config.bootstraps,
        rng=rng,
    )
    passed = True if risk.interval[1] <= config.max_residual else None
    # the interval's half width shrinks with the square root of the number of people
    factor = (max(risk.interval[1] - risk.value, 1e-9) / config.max_residual) ** 2
    return Check(
        recognizer=recognizer,
        key="residual_risk",
        statistic=statistic,
        value=risk.value,
        interval=risk.interval,
        rule="upper <=",
        threshold=config.max_residual,
        passed=passed,
        training=risk.train,
        control=risk.holdout,
        n=len(train) + len(holdout),
        unit="people",
        need=""
        if passed
        else f"about {_round_up(factor * len(holdout))} hold-out and {_round_up(factor * len(train))} training people, "
        f"to bound the residual risk at {config.max_residual:.1%}",
    )


def _round_up(number: float) -> int:
    """Round up to two significant digits."""
    unit = 10 ** max(0, int(np.floor(np.log10(max(number, 1)))) - 1)
    return int(np.ceil(number / unit) * unit)
