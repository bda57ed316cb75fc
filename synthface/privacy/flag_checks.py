"""The checks of gates A3, V3 and V5, from one recogniser's view."""

from typing import Any

import numpy as np

from synthface.metrics.delong import delong_auc
from synthface.privacy.chance import FEWEST_MAXIMA
from synthface.privacy.flags import Alarm
from synthface.privacy.image_alarm import Named
from synthface.privacy.pareto_tail import ParetoTail
from synthface.privacy.permutation import mean_difference_null, p_value
from synthface.privacy.score_normalisation import hub_share, normed_hub_share
from synthface.privacy.verdict import Check
from synthface.privacy.view import View

_FEWEST_EXCESSES = 30
_NORMED_IMAGES = 20_000
_MORE_CLASSES = f"at least {FEWEST_MAXIMA} classes, to tell a training person from a chance look-alike"


def flag_check(flagged: int, n_classes: int, alarm: Alarm, view: View) -> Check:
    """Return the check of gate A3: no class may be flagged. Few classes leave it undecided."""
    enough = n_classes >= FEWEST_MAXIMA
    return Check(
        recognizer=view.recognizer,
        key="flagged",
        statistic="classes nearer to a training person than look-alikes (false discovery rate "
        f"{view.config.flag_rate:.0%})",
        value=flagged,
        rule="<=",
        threshold=0,
        passed=flagged == 0 if enough else None,
        baseline=0.0,
        n=n_classes,
        unit="classes",
        p_value=alarm.p_global,
        need="the flagged classes taken out of the set, and an audit of what is left" if enough else _MORE_CLASSES,
    )


def image_check(named: Named, view: View) -> Check:
    """Return the check of gate A3 for single images: none may be named, as planted ones are (V4).

    Images of one class are one observation of chance, so few classes leave this undecided too.
    """
    enough = len(view.classes) >= FEWEST_MAXIMA
    flagged = int(np.count_nonzero(named.person >= 0))
    return Check(
        recognizer=view.recognizer,
        key="flagged_images",
        statistic="single images nearer to a training person, or to one photo, than look-alikes (error rate over all "
        f"images {view.config.flag_rate:.0%})",
        value=flagged,
        rule="<=",
        threshold=0,
        passed=flagged == 0 if enough else None,
        baseline=0.0,
        n=len(view.synthetic),
        unit="synthetic images",
        p_value=named.p_global,
        need="the flagged images taken out of the set (listed in audit.json), and an audit of what is left"
        if enough
        else _MORE_CLASSES,
    )


def tail_check(view: View) -> list[Check]:
    """Return, for the record, the false match rate of the single nearest pair, by a generalised Pareto tail."""
    verification, config = view.verification, view.config
    if verification is None or config.fmr * verification.n_non_mated < _FEWEST_EXCESSES:
        return []
    tail = ParetoTail.fit(verification.largest, verification.n_non_mated, config.fmr)
    score = float(view.near("train").nearest_score.max())
    if score < tail.level or view.train is None:
        return []
    value, interval = tail.probability(score), tail.interval(score, 2 * config.confidence - 1)
    pairs = len(view.synthetic) * len(view.train.vectors)
    return [
        Check.reported(
            recognizer=view.recognizer,
            key="nearest_fmr",
            statistic=f"FMR of the nearest pair of all ({value * pairs:.1g} such pairs by chance), "
            f"by a Pareto tail, not told below {tail.furthest:.1g}",
            value=value,
            interval=(interval[0], interval[1]),
            n=pairs,
            unit="pairs",
        )
    ]


def hub_checks(view: View) -> list[Check]:
    """Return the checks of gate V5: no training photo may be the nearest of too many images.

    The limit holds for scores normalised by what each face scores with strangers (AS-norm), for which the placebo is
    the cohort; without a placebo it holds for the plain scores.
    """
    limit, train = view.config.max_hub_share, view.gallery("train")
    plain = hub_share(view.near("train").nearest_row)
    common: dict[str, Any] = {"recognizer": view.recognizer, "unit": "synthetic images"}
    words = "share of the synthetic images that have one and the same nearest training photo"
    gated: dict[str, Any] = {"rule": "<=", "threshold": limit}
    if view.placebo is None:
        return [
            Check(
                key="hub_share",
                statistic=words,
                value=plain,
                passed=plain <= limit,
                n=len(view.synthetic),
                **gated,
                **common,
            )
        ]
    images = view.rng("hubs").permutation(view.synthetic.vectors)[:_NORMED_IMAGES]
    normed = normed_hub_share(images, train.vectors, view.probe("placebo").vectors)
    return [
        Check(
            key="normed_hub_share",
            statistic=f"{words}, by scores normalised by a cohort of strangers (AS-norm)",
            value=normed,
            passed=normed <= limit,
            n=len(images),
            **gated,
            **common,
        ),
        Check.reported(
            key="hub_share",
            statistic=f"{words}, by plain scores",
            value=plain,
            n=len(view.synthetic),
            **common,
        ),
    ]


def placebo_checks(view: View) -> list[Check]:
    """Return the checks of gate V3: placebo people must be equally near to both sides; for the record the AUC."""
    near_train, near_holdout = view.person_scores("train", "placebo"), view.person_scores("holdout", "placebo")
    null = mean_difference_null(near_train, near_holdout, view.config.permutations, view.rng("placebo"))
    excess = float(near_train.mean() - near_holdout.mean())
    # too small an excess is a bias as well: it would hide a leak
    p = min(1.0, 2 * min(p_value(null, excess), p_value(-null, -excess)))
    area, ends = delong_auc(near_train, near_holdout, 2 * view.config.confidence - 1)
    excess_check = Check(
        recognizer=view.recognizer,
        key="placebo_excess",
        statistic="two-sided permutation p of the same excess with placebo people in the place of the synthetic set",
        value=p,
        rule=">",
        threshold=view.config.placebo_alpha,
        passed=p > view.config.placebo_alpha,
        training=float(near_train.mean()),
        control=float(near_holdout.mean()),
        n=len(near_train) + len(near_holdout),
        unit="people",
        need="a hold-out drawn at random from the pool of training people, with as many photos each, or a recogniser "
        f"trained on neither: {view.recognizer} finds the two different before any synthetic image is looked at",
    )
    area_check = Check.reported(
        recognizer=view.recognizer,
        key="placebo_auc",
        statistic="AUC of telling training from hold-out people by that score",
        value=area,
        interval=(float(ends[0]), float(ends[1])),
        baseline=0.5,
        n=len(near_train) + len(near_holdout),
        unit="people",
    )
    return [excess_check, area_check]
