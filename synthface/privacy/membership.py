"""A5: can somebody with photos of a person and the synthetic set tell whether that person was trained on?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.metrics.delong import delong_auc
from synthface.metrics.intervals import clopper_pearson
from synthface.metrics.verification import allowed_false_matches
from synthface.privacy.config import AuditConfig
from synthface.privacy.permutation import mean_difference_null, p_value
from synthface.privacy.verdict import Check, Interval, three_way

Scores = NDArray[np.float64]
_LOW_RATE = 1e-3
_STEPS = 1000  # of the law of the threshold; more move a bound by less than one part in ten thousand


@dataclass(frozen=True)
class Attack:
    """Scores of one attack; larger means "was trained on".

    Attributes:
        key: short name, "" for the main attack.
        words: how it guesses.
        train: [T] scores of training people.
        holdout: [H] scores of hold-out people.
    """

    key: str
    words: str
    train: Scores
    holdout: Scores


def membership_checks(
    attacks: Sequence[Attack],
    config: AuditConfig,
    rng: np.random.Generator,
    recognizer: str,
    *,
    other_photos: bool = False,
) -> list[Check]:
    """Return the checks of gate A5: limits on the first attack, and a test of each of the others.

    Args:
        attacks: of the same people, the main one first.
        config: the limits.
        rng: deals the tags "training" and "hold-out" out again.
        recognizer: name for the checks.
        other_photos: whether the attacker holds photos of the training people that were not trained on; these checks
            have keys that begin with "other_".
    """
    main = attacks[0]
    common = {"recognizer": recognizer}
    words = "with other photos of them" if other_photos else "with the very photos"
    p_values = _rank_p(attacks, config.permutations, rng)
    checks = [
        _area_check(main, p_values[0], config, words, common),
        _low_false_positive_check(main, config, words, common),
        *(_side_attack(attack, p, config, words, common) for attack, p in zip(attacks[1:], p_values[1:], strict=True)),
        *_for_the_record(main, config, words, common),
    ]
    if not other_photos:
        return checks
    return [replace(check, key=f"other_{check.key}") for check in checks]


def _area_check(attack: Attack, p: float, config: AuditConfig, words: str, common: dict[str, Any]) -> Check:
    area, interval = delong_auc(attack.train, attack.holdout, 2 * config.confidence - 1)
    return Check(
        key="auc",
        statistic=f"AUC of telling training from hold-out people {words}, upper bound",
        value=area,
        interval=interval,
        rule="upper <=",
        threshold=config.max_membership_auc,
        passed=three_way(interval, config.max_membership_auc),
        baseline=0.5,
        n=len(attack.train) + len(attack.holdout),
        unit="people",
        p_value=p,
        need="more training and hold-out people, to narrow the interval of the membership AUC",
        **common,
    )


def _side_attack(attack: Attack, p: float, config: AuditConfig, words: str, common: dict[str, Any]) -> Check:
    area, interval = delong_auc(attack.train, attack.holdout, 2 * config.confidence - 1)
    return Check(
        key=f"p_{attack.key}",
        statistic=f"permutation p of guessing by {attack.words} {words} (AUC {area:.3f} [{interval[0]:.3f}, "
        f"{interval[1]:.3f}])",
        value=p,
        rule=">",
        threshold=config.alpha,
        passed=p > config.alpha,
        n=len(attack.train) + len(attack.holdout),
        unit="people",
        p_value=p,
        **common,
    )


def _rank_p(attacks: Sequence[Attack], permutations: int, rng: np.random.Generator) -> list[float]:
    """Return the permutation p of each attack's AUC: of the mean rank, which is the AUC on another scale."""
    from scipy.stats import rankdata

    n = len(attacks[0].train)
    ranks = np.stack([rankdata(np.concatenate([attack.train, attack.holdout])) for attack in attacks])
    null = mean_difference_null(ranks[:, :n], ranks[:, n:], permutations, rng)
    observed = ranks[:, :n].mean(axis=1) - ranks[:, n:].mean(axis=1)
    return [p_value(row, float(value)) for row, value in zip(null, observed, strict=True)]


def _low_false_positive_check(attack: Attack, config: AuditConfig, words: str, common: dict[str, Any]) -> Check:
    fpr, train, holdout = config.membership_fpr, attack.train, attack.holdout
    rate = _rate_at(attack, fpr)
    if rate is None:
        value, interval, passed, p = np.nan, None, None, None
    else:
        found, allowed = rate
        interval = rate_interval(found, len(train), allowed, len(holdout), fpr, config.confidence)
        value, passed = found / len(train), three_way(interval, config.max_membership_tpr)
        p = exceedance_p(found, len(train), allowed, len(holdout))
    return Check(
        key="tpr",
        statistic=f"true positive rate of that attack at a false positive rate of {fpr:.0%} {words}, upper bound",
        value=value,
        interval=interval,
        rule="upper <=",
        threshold=config.max_membership_tpr,
        passed=passed,
        baseline=fpr,
        n=len(train),
        unit="training people",
        p_value=p,
        need=_people_needed(value, interval, len(train), len(holdout), config),
        **common,
    )


def _people_needed(rate: float, interval: Interval | None, n_train: int, n_holdout: int, config: AuditConfig) -> str:
    """Return how many people it takes to bound the true positive rate, if it stays as it is."""
    aim = f"to bound the attack at a false positive rate of {config.membership_fpr:.0%}"
    if interval is None:
        return f"at least {int(np.ceil(1 / config.membership_fpr))} hold-out people ({n_holdout} given), {aim}"
    if rate >= config.max_membership_tpr:
        return (
            f"more training and hold-out people ({n_train} and {n_holdout} given), {aim}: it succeeds too often so far"
        )
    # the half width shrinks with the square root of the number of people on both sides
    times = ((interval[1] - rate) / (config.max_membership_tpr - rate)) ** 2
    train, holdout = (float(f"{n * times:.2g}") for n in (n_train, n_holdout))
    return f"about {train:.0f} training and {holdout:.0f} hold-out people ({n_train} and {n_holdout} given), {aim}"


def _rate_at(attack: Attack, fpr: float) -> tuple[int, int] | None:
    """Return the number of training people found, and of hold-out people allowed; None where that is none."""
    allowed = allowed_false_matches(fpr, len(attack.holdout))
    if allowed < 1:
        return None
    threshold = np.sort(attack.holdout)[-allowed - 1]
    return int(np.count_nonzero(attack.train > threshold)), allowed


def _for_the_record(attack: Attack, config: AuditConfig, words: str, common: dict[str, Any]) -> list[Check]:
    people = len(attack.train) + len(attack.holdout)
    checks = [
        Check.reported(
            key="advantage",
            statistic=f"largest true positive rate less false positive rate of that attack {words}",
            value=advantage(attack.train, attack.holdout),
            baseline=float(np.sqrt(np.pi / 8) * np.sqrt(people / (len(attack.train) * len(attack.holdout)))),
            n=people,
            unit="people",
            **common,
        )
    ]
    low = _rate_at(attack, _LOW_RATE)
    if low is not None:
        checks.append(
            Check.reported(
                key="tpr_low",
                statistic=f"true positive rate of that attack at a false positive rate of {_LOW_RATE:.1%} {words}",
                value=low[0] / len(attack.train),
                interval=rate_interval(
                    low[0], len(attack.train), low[1], len(attack.holdout), _LOW_RATE, config.confidence
                ),
                baseline=_LOW_RATE,
                n=len(attack.train),
                unit="training people",
                **common,
            )
        )
    rate = _rate_at(attack, config.membership_fpr)
    if rate is not None:
        # both at the threshold as drawn: its true false positive rate follows the law behind Clopper and Pearson's end
        lowest = clopper_pearson(rate[0], len(attack.train), 2 * config.confidence - 1)[0]
        highest = clopper_pearson(rate[1], len(attack.holdout), 2 * config.confidence - 1)[1]
        checks.append(
            Check.reported(
                key="epsilon",
                statistic="lower bound of the epsilon of differential privacy that this attack allows "
                f"at a false positive rate of {config.membership_fpr:.0%} {words}",
                value=epsilon_lower(lowest, highest),
                baseline=0.0,
                n=people,
                unit="people",
                **common,
            )
        )
    return checks


def advantage(train: Scores, holdout: Scores) -> float:
    """Return the largest TPR - FPR over all thresholds (Yeom et al., CSF 2018): the one-sided Kolmogorov distance."""
    values = np.unique(np.concatenate([train, holdout]))
    positive, negative = (
        1 - np.searchsorted(np.sort(side), values, side="left") / len(side) for side in (train, holdout)
    )
    return max(0.0, float((positive - negative).max()))


def epsilon_lower(lowest_tpr: float, highest_fpr: float) -> float:
    """Return max(0, ln(TPR / FPR)) from the cautious ends of their intervals (Kairouz et al. 2015, with delta 0)."""
    return max(0.0, float(np.log(max(lowest_tpr, 1e-12) / max(highest_fpr, 1e-12))))


def exceedance_p(found: int, n_train: int, allowed: int, n_holdout: int) -> float:
    """Return the chance that so many training people lie above all but ``allowed`` of the hold-out people.

    They do if and only if at most ``allowed`` of the ``found + allowed`` largest scores are of the hold-out.
    """
    from scipy.stats import hypergeom

    return float(hypergeom.cdf(allowed, n_train + n_holdout, n_holdout, found + allowed))


def rate_interval(
    found: int, n_train: int, allowed: int, n_holdout: int, fpr: float, confidence: float
) -> tuple[float, float]:
    """Bound the true positive rate at a false positive rate, by a threshold that is drawn itself.

    The threshold is the largest hold-out score but ``allowed``, so the false positive rate U that it truly has follows
    Beta(allowed + 1, n_holdout - allowed). Where the ROC curve rises from (0, 0) ever less steeply, through (fpr, r),
    it lies at U between r min(1, U / fpr) and r max(1, U / fpr): so many of ``n_train`` people are found at least, and
    at most. Each end is the r that makes what was found just too few, or too many, for that binomial law averaged over
    U; as every ROC curve of that shape lies between, neither covers less than ``confidence``.

    Args:
        found: training people above the threshold.
        n_train: training people.
        allowed: hold-out people above it.
        n_holdout: hold-out people.
        fpr: false positive rate at which to bound.
        confidence: one-sided, at each end.

    Source: after Clopper and Pearson, Biometrika 26 (1934) 404-413, whose interval this is for a known threshold.
    """
    from scipy.optimize import brentq
    from scipy.special import bdtr, bdtrc, betaincinv

    levels = (np.arange(_STEPS) + 0.5) / _STEPS
    slope = betaincinv(allowed + 1, n_holdout - allowed, levels) / fpr
    fewest, most = np.minimum(slope, 1), np.maximum(slope, 1)

    def too_few(rate: float) -> float:
        return float(bdtr(found, n_train, rate * fewest).mean()) - (1 - confidence)

    def too_many(rate: float) -> float:
        return float(bdtrc(found - 1, n_train, np.minimum(rate * most, 1)).mean()) - (1 - confidence)

    low = 0.0 if found == 0 else float(brentq(too_many, 0.0, 1.0))
    high = 1.0 if too_few(1.0) >= 0 else float(brentq(too_few, 0.0, 1.0))
    return low, high
