"""The checks of gate A4, from the measured linkage."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.metrics.verification import equal_error_rate
from synthface.privacy.config import AuditConfig
from synthface.privacy.linkage import Linkage
from synthface.privacy.verdict import Check, Interval, three_way

_NEAR_RANK = 10


def linkage_checks(
    linkage: Linkage, n_people: int, config: AuditConfig, rng: np.random.Generator, recognizer: str
) -> list[Check]:
    """Return rank-1 hits, AUC, D_sys and tail alignment, and for the record TMR, EER, CMC and MRR.

    Args:
        linkage: as measured.
        n_people: training people among whom a class is looked up.
        config: the limits.
        rng: resamples classes.
        recognizer: name for the checks.
    """
    n = len(linkage.linked)
    common: dict[str, Any] = {"recognizer": recognizer, "n": n, "unit": "labelled classes"}
    area = float(linkage.area.mean())
    resampled = linkage.area[rng.integers(n, size=(config.bootstraps, n))].mean(axis=1)
    area_interval = _ends(resampled, config)
    margin = _normal_quantile(config.confidence) * linkage.d_sys_sd
    d_sys_interval = (linkage.d_sys - margin, linkage.d_sys + margin)
    return [
        _hits_check(linkage, n_people, config, common),
        Check(
            key="auc",
            statistic="AUC of same-label against other-label scores, upper bound",
            value=area,
            interval=area_interval,
            rule="upper <=",
            threshold=config.max_linkage_auc,
            passed=three_way(area_interval, config.max_linkage_auc),
            baseline=0.5,
            p_value=linkage.p_mean,
            need=_more_classes(area_interval[1] - area, config.max_linkage_auc - 0.5, n, "linkage AUC"),
            **common,
        ),
        Check(
            key="d_sys",
            statistic="D_sys of same-label against other-label scores, less its mean by chance, upper bound",
            value=linkage.d_sys,
            interval=d_sys_interval,
            rule="upper <=",
            threshold=config.max_unlinkability,
            passed=d_sys_interval[1] <= config.max_unlinkability or None,  # a leak is shown by the p-value of the AUC
            baseline=0.0,
            need=_more_classes(margin, config.max_unlinkability, n, "D_sys"),
            **common,
        ),
        Check(
            key="tail_alignment",
            statistic=f"label-permutation p of {linkage.tail_hits} own labels among the {linkage.tail_classes} classes "
            f"with the largest scores ({linkage.tail_by_chance:.2g} by chance)",
            value=linkage.p_tail,
            rule=">",
            threshold=config.alpha,
            passed=linkage.p_tail > config.alpha,
            p_value=linkage.p_tail,
            **common,
        ),
        *_for_the_record(linkage, n_people, config, common),
    ]


def _hits_check(linkage: Linkage, n_people: int, config: AuditConfig, common: dict[str, Any]) -> Check:
    from scipy.stats import poisson

    from synthface.metrics.intervals import clopper_pearson

    n = len(linkage.linked)
    hits = int(np.count_nonzero(linkage.ranks == 1))
    bound = int(poisson.ppf(config.linkage_quantile, n / n_people))
    return Check(
        key="rank1_hits",
        statistic=f"classes nearest of all to the training person of their label (chance {n / n_people:.2g})",
        value=hits,
        interval=tuple(n * end for end in clopper_pearson(hits, n, 2 * config.confidence - 1)),  # type: ignore[arg-type]
        rule="<=",
        threshold=bound,
        passed=hits <= bound,
        baseline=n / n_people,
        p_value=linkage.p_hits,
        need="the classes that are nearest to the person of their own label taken out, and another audit",
        **common,
    )


def _for_the_record(linkage: Linkage, n_people: int, config: AuditConfig, common: dict[str, Any]) -> list[Check]:
    from synthface.metrics.intervals import clopper_pearson

    n = len(linkage.linked)
    tmr_interval = clopper_pearson(round(linkage.tmr * n), n, 2 * config.confidence - 1)
    harmonic = float(np.sum(1 / np.arange(1, n_people + 1)) / n_people)
    near = min(_NEAR_RANK, n_people)
    in_near = int(np.count_nonzero(linkage.ranks <= near))
    near_interval = clopper_pearson(in_near, n, 2 * config.confidence - 1)
    return [
        Check.reported(
            key="tmr",
            statistic=f"TMR of same-label scores at an FMR of {config.fmr:g} among other labels",
            value=linkage.tmr,
            interval=tuple(tmr_interval),  # type: ignore[arg-type]
            baseline=config.fmr,
            **common,
        ),
        Check.reported(
            key="eer",
            statistic="equal error rate of same-label against other-label scores",
            value=equal_error_rate(linkage.linked, linkage.unlinked),
            baseline=0.5,
            **common,
        ),
        Check.reported(
            key="cmc",
            statistic=f"share of classes with the person of their label among the {near} nearest (cumulative match)",
            value=in_near / n,
            interval=tuple(near_interval),  # type: ignore[arg-type]
            baseline=near / n_people,
            **common,
        ),
        Check.reported(
            key="mrr",
            statistic="mean reciprocal rank of the right person",
            value=float(np.mean(1 / linkage.ranks)),
            baseline=harmonic,
            **common,
        ),
    ]


def _ends(draws: NDArray[np.float64], config: AuditConfig) -> Interval:
    low, high = np.quantile(draws, [1 - config.confidence, config.confidence])
    return float(low), float(high)


def _normal_quantile(share: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(share))


def _more_classes(margin: float, limit: float, n: int, what: str) -> str:
    factor = (1.5 * margin / limit) ** 2  # an estimate a third above chance still passes
    return f"about {int(np.ceil(max(factor, 1.2) * n))} labelled classes, to bound the {what}"
