"""A5: can somebody with a person's photos and the synthetic set tell whether the person was trained on?"""

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.config import AuditConfig
from synthface.privacy.verdict import Check, Interval

Scores = NDArray[np.float64]


def delong_auc(positive: Scores, negative: Scores, confidence: float) -> tuple[float, Interval]:
    """Return the area under the ROC curve and its interval, each end at ``confidence``.

    Variance from the structural components (DeLong, DeLong and Clarke-Pearson 1988), in Sun and Xu's O(n log n) form;
    ties count half.
    """
    from scipy.special import ndtri

    ordered_negative, ordered_positive = np.sort(negative), np.sort(positive)
    below = _mid_rank_share(ordered_negative, positive)  # share of negatives each positive beats
    above = 1 - _mid_rank_share(ordered_positive, negative)  # share of positives that beat each negative
    area = float(below.mean())
    variance = _sample_variance(below) / len(positive) + _sample_variance(above) / len(negative)
    margin = float(ndtri(confidence)) * float(np.sqrt(variance))
    return area, (max(0.0, area - margin), min(1.0, area + margin))


def _mid_rank_share(ordered: Scores, values: Scores) -> Scores:
    strictly = np.searchsorted(ordered, values, side="left")
    at_most = np.searchsorted(ordered, values, side="right")
    return np.asarray((strictly + at_most) / (2 * len(ordered)), dtype=np.float64)


def _sample_variance(values: Scores) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.25


def membership_checks(train: Scores, holdout: Scores, config: AuditConfig, recognizer: str) -> list[Check]:
    """Return the two checks of gate A5, with each person's a_i as the attack's score."""
    area, interval = delong_auc(train, holdout, config.confidence)
    auc_check = Check(
        recognizer=recognizer,
        key="auc",
        statistic="AUC of telling training from hold-out people, upper bound",
        value=area,
        interval=interval,
        rule="upper <=",
        threshold=config.max_membership_auc,
        passed=three_way(interval, config.max_membership_auc),
        baseline=0.5,
        n=len(train) + len(holdout),
        unit="people",
        need="more training and hold-out people, to narrow the interval of the membership AUC",
    )
    return [auc_check, _low_false_positive_check(train, holdout, config, recognizer)]


def _low_false_positive_check(train: Scores, holdout: Scores, config: AuditConfig, recognizer: str) -> Check:
    from synthface.metrics.intervals import clopper_pearson

    fpr = config.membership_fpr
    allowed = int(fpr * len(holdout))
    if allowed < 1:
        value, interval, passed, p = np.nan, None, None, None
    else:
        threshold = np.sort(holdout)[-allowed - 1]
        found = int(np.count_nonzero(train > threshold))
        value, interval = found / len(train), clopper_pearson(found, len(train), 2 * config.confidence - 1)
        passed = three_way(interval, config.max_membership_tpr)
        p = _exceedance_p(found, len(train), allowed, len(holdout))
    return Check(
        recognizer=recognizer,
        key="tpr",
        statistic=f"true positive rate of that attack at a false positive rate of {fpr:.0%}, upper bound",
        value=value,
        interval=interval,
        rule="upper <=",
        threshold=config.max_membership_tpr,
        passed=passed,
        baseline=fpr,
        n=len(train),
        unit="training people",
        p_value=p,
        need=f"at least {int(np.ceil(1 / fpr))} hold-out people and several hundred training people, "
        f"to bound the attack at a false positive rate of {fpr:.0%}",
    )


def _exceedance_p(found: int, n_train: int, allowed: int, n_holdout: int) -> float:
    """Return the chance that so many training people lie above all but ``allowed`` of the hold-out people.

    They do if and only if at most ``allowed`` of the ``found + allowed`` largest scores are of the hold-out. The
    interval of the rate takes the threshold as known; this does not.
    """
    from scipy.stats import hypergeom

    return float(hypergeom.cdf(allowed, n_train + n_holdout, n_holdout, found + allowed))


def three_way(interval: Interval, limit: float) -> bool | None:
    """Say whether an interval lies below a limit (True), above it (False), or across (None)."""
    if interval[1] <= limit:
        return True
    return False if interval[0] > limit else None
