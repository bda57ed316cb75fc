"""The checks of the validity gates that go over all recognisers: V2 to V5."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from synthface.metrics.intervals import clopper_pearson
from synthface.privacy.config import AuditConfig
from synthface.privacy.copies import Copies
from synthface.privacy.inputs import AuditInputs
from synthface.privacy.measure import Measurement
from synthface.privacy.multiple_testing import holm
from synthface.privacy.plants import KINDS, PlantOutcome
from synthface.privacy.verdict import Check

Results = Mapping[str, Measurement]


def holdout_checks(
    inputs: AuditInputs, results: Results, copies: Mapping[tuple[str, str], Copies], config: AuditConfig
) -> list[Check]:
    """V2: enough people in the hold-out, and nobody and no photo of the training set among them."""
    if "holdout" not in inputs.roles or "train" not in inputs.roles:
        return []
    people = inputs.sizes()["holdout"]["identities"]
    overlap = len(shared_people(results))
    checks = [
        Check(
            key="people",
            statistic="people in the hold-out",
            value=people,
            rule=">=",
            threshold=config.min_holdout,
            passed=people >= config.min_holdout,
            n=people,
            unit="people",
            need=f"a hold-out of at least {config.min_holdout} people ({people} given)",
        ),
        Check(
            key="overlap",
            statistic="pairs of a training and a hold-out person that every recogniser takes for one",
            value=overlap,
            rule="<=",
            threshold=0,
            passed=overlap == 0,
            n=people,
            unit="people",
            need=f"the {overlap} pairs of look-alikes between training and hold-out settled (listed in audit.json): "
            "where they are one person, take that person out of the hold-out",
        ),
    ]
    if ("holdout", "train") in copies:
        found = len(copies["holdout", "train"])
        checks.append(
            Check(
                key="photo_overlap",
                statistic="hold-out photos that are copies of a training photo",
                value=found,
                rule="<=",
                threshold=0,
                passed=found == 0,
                n=len(inputs.signatures["holdout"]),
                unit="hold-out photos",
                need=f"the {found} hold-out photos that are also in the training set taken out, with their people",
            )
        )
    return checks


def shared_people(results: Results) -> list[tuple[int, int]]:
    """Return indices of (training, hold-out) people that every recogniser takes for one person."""
    return sorted(set.intersection(*(result.look_alikes for result in results.values())))


def placebo_over_recognizers(checks: list[Check], config: AuditConfig) -> list[Check]:
    """V3: correct the placebo for the number of recognisers, since each may err."""
    tests = [check for check in checks if check.rule != "reported"]
    adjusted = dict(zip(map(id, tests), holm([check.value for check in tests]), strict=True))
    return [
        replace(check, passed=adjusted[id(check)] > config.placebo_alpha, p_adjusted=adjusted[id(check)])
        if id(check) in adjusted
        else check
        for check in checks
    ]


def power_checks(results: Results, planted: Sequence[PlantOutcome], config: AuditConfig) -> list[Check]:
    """V4: whole people planted by their embeddings, and what was planted as images, if anything was.

    A plant counts as found if any recogniser names it: any flag takes a class out.
    """
    checks = [*_people_checks(results, config), *(_planted_check(outcome, config) for outcome in planted)]
    return [shown for check in checks for shown in (*_too_few(check, config), check)]


def _too_few(check: Check, config: AuditConfig) -> list[Check]:
    """Return the count of what was planted where that decides: the share beside it can look as if it were met."""
    needed = config.planted_images if check.unit == "planted images" else config.planted_people
    if check.passed is not None or check.n >= needed:
        return []
    statistic = f"{check.unit}, {needed} needed"
    if check.key != "recall":
        statistic += f": {KINDS[check.key.removeprefix('planted_')].words}"
    count = replace(check, key=f"{check.key}_n", statistic=statistic, value=check.n, interval=None)
    return [replace(count, rule=">=", threshold=needed)]


def _people_checks(results: Results, config: AuditConfig) -> list[Check]:
    tried = {name: result.plants_found for name, result in results.items() if result.plants_found is not None}
    if not tried:
        return []
    found = np.any(list(tried.values()), axis=0)
    level = 2 * config.confidence - 1
    n, hits = len(found), int(found.sum())
    interval = clopper_pearson(hits, n, level)
    enough = n >= config.planted_people
    passed = _judged(interval, enough=enough, least=config.min_recall)
    if passed is None and not enough:
        need = (
            f"{config.planted_people} training people with {config.planted_photos} or more photos to plant ({n} have)"
        )
    elif passed is None:
        need = (
            f"more training people to plant than {n}: so few leave open what the alarm misses ({n - hits} went unfound)"
        )
    else:
        need = "recognisers that find training people better: the alarm misses too many that were planted"
    overall = Check(
        key="recall",
        statistic="share of planted training people that the alarm finds, lower bound",
        value=hits / n,
        interval=(interval[0], interval[1]),
        rule="lower >=",
        threshold=config.min_recall,
        passed=passed,
        n=n,
        unit="planted people",
        need="" if passed else need,
    )
    alone = [
        Check.reported(
            recognizer=name,
            key="recall_alone",
            statistic="the same by this recogniser alone",
            value=float(one.mean()),
            interval=tuple(clopper_pearson(int(one.sum()), n, level)),  # type: ignore[arg-type]
            n=n,
            unit="planted people",
        )
        for name, one in tried.items()
    ]
    return [overall, *alone]


def _is_bounded(interval: Sequence[float], least: float) -> bool | None:
    """Say whether a share is at least so large; None where its interval holds both answers."""
    lower, upper = interval
    return True if lower >= least else False if upper < least else None


def _judged(interval: Sequence[float], *, enough: bool, least: float) -> bool | None:
    """Say whether a share of plants is large enough; too few can show that it is not, but never that it is."""
    passed = _is_bounded(interval, least)
    return passed if enough or passed is False else None


def _planted_check(outcome: PlantOutcome, config: AuditConfig) -> Check:
    kind = KINDS[outcome.kind]
    interval = outcome.interval(config.confidence)
    needed = config.planted_images if kind.unit == "images" else config.planted_people
    enough = outcome.n >= needed
    passed: bool | None
    if kind.demand == "all":
        rule, threshold, passed = ">=", 1.0, outcome.found == outcome.n if enough else None
    elif kind.demand == "most":
        rule, threshold = "lower >=", config.min_recall
        passed = _judged(interval, enough=enough, least=config.min_recall)
    else:
        rule, threshold, passed = "reported", np.nan, True
    need = ""
    if passed is None and not enough:
        need = f"{needed} {kind.unit} to plant ({outcome.words}; {outcome.n} could be)"
    elif passed is None:
        missed = outcome.n - outcome.found
        need = f"more {kind.unit} to plant than {outcome.n}: so few bound nothing ({outcome.words}; {missed} unfound)"
    elif not passed:
        missed = outcome.n - outcome.found
        need = f"recognisers that find planted leaks better: {missed} of {outcome.n} went unfound ({outcome.words})"
    return Check(
        key=f"planted_{kind.key}",
        statistic=f"share found of what was planted: {outcome.words}",
        value=outcome.recall,
        interval=interval,
        rule=rule,
        threshold=threshold,
        passed=passed,
        n=outcome.n,
        unit=f"planted {kind.unit}",
        need=need,
    )
