"""From measurements under each recogniser to the gates of the protocol."""

import re
from dataclasses import replace

import numpy as np

from synthface.privacy.config import AuditConfig
from synthface.privacy.gate_texts import HOW_TO_DECIDE, REMEDIES, TITLES, text_of
from synthface.privacy.inputs import AuditInputs
from synthface.privacy.measure import Measurement
from synthface.privacy.permutation import holm
from synthface.privacy.verdict import Check, Gate, Kind

Results = dict[str, Measurement]
_ON_HOLDOUT = ("A2", "A3", "A5")  # tests that stand on training and hold-out being exchangeable


def build_gates(inputs: AuditInputs, results: Results, config: AuditConfig) -> dict[str, Gate]:
    """Return the gates in the order of the protocol."""
    checks = {name: _gather(results, name) for name in TITLES}
    checks["V2"] = _holdout_checks(inputs, results, config)
    checks["V3"] = _placebo_over_recognizers(checks["V3"], config)
    checks["V4"] = _power_checks(results, config)
    checks |= _settle_leaks(checks, config)
    gates = {name: _gate(name, checks[name]) for name in TITLES}
    gates["V1"] = _recognizer_gate(checks["V1"], inputs, config)
    if "A4" in gates and not checks["A4"] and "train" in inputs.roles:
        gates["A4"] = _unlabelled_gate()
    return gates


def usable_recognizers(gates: dict[str, Gate]) -> tuple[str, ...]:
    """Return the recognisers that passed V1."""
    return tuple(check.recognizer for check in gates["V1"].checks if check.passed)


def _gather(results: Results, gate: str) -> list[Check]:
    return [check for result in results.values() for check in result.checks.get(gate, [])]


def _gate(name: str, checks: list[Check]) -> Gate:
    outcomes = [check.passed for check in checks]
    passed = None if not checks or (None in outcomes and False not in outcomes) else all(outcomes)
    kind: Kind = "warning" if name == "V5" else "validity" if name.startswith("V") else "leak"
    return Gate(
        id=name,
        title=TITLES[name],
        kind=kind,
        passed=passed,
        text=text_of(name, passed, measured=bool(checks)),
        checks=tuple(checks),
        needs=_needs(name, passed, checks),
    )


def _needs(name: str, passed: bool | None, checks: list[Check]) -> tuple[str, ...]:
    """Return what a gate that did not pass asks for; of demands that differ only in numbers, the largest."""
    if not checks:
        return (HOW_TO_DECIDE[name],) if HOW_TO_DECIDE[name] else ()
    if passed is False and name in REMEDIES:
        return (REMEDIES[name],)
    largest: dict[str, str] = {}
    for need in (check.need for check in checks if not check.passed and check.need):
        kind = re.sub(r"\d+", "#", need)
        if kind not in largest or _numbers(need) > _numbers(largest[kind]):
            largest[kind] = need
    return tuple(largest.values())


def _numbers(text: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", text)]


def _recognizer_gate(checks: list[Check], inputs: AuditInputs, config: AuditConfig) -> Gate:
    """V1 asks for enough good recognisers, not for all of them to be good."""
    gate = _gate("V1", checks)
    good = sum(bool(check.passed) for check in checks)
    if not checks or good >= config.min_recognizers:
        return replace(gate, passed=True if checks else None, needs=() if checks else gate.needs)
    missing = (
        f"{config.min_recognizers} recognisers that pass V1 (of another backbone and training set each); {good} did"
    )
    return replace(gate, passed=False, text=text_of("V1", False, measured=True), needs=(missing, *gate.needs))


def _unlabelled_gate() -> Gate:
    return Gate(
        id="A4",
        title=TITLES["A4"],
        kind="leak",
        passed=True,
        applicable=False,
        text="Not applicable: no synthetic identity carries the label of a training person. If the generator was "
        "conditioned on training people under other names, give the label map: it is the sharpest test there is.",
    )


def _holdout_checks(inputs: AuditInputs, results: Results, config: AuditConfig) -> list[Check]:
    if "holdout" not in inputs.roles or "train" not in inputs.roles:
        return []
    people = inputs.sizes()["holdout"]["identities"]
    overlap = len(shared_people(results))
    return [
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


def shared_people(results: Results) -> list[tuple[int, int]]:
    """Return indices of (training, hold-out) people that every recogniser takes for one person."""
    return sorted(set.intersection(*(result.look_alikes for result in results.values())))


def _placebo_over_recognizers(checks: list[Check], config: AuditConfig) -> list[Check]:
    """Correct the placebo for the number of recognisers: each may err."""
    adjusted = holm([check.value for check in checks])
    return [
        replace(check, passed=p > config.placebo_alpha, p_adjusted=p) for check, p in zip(checks, adjusted, strict=True)
    ]


def _power_checks(results: Results, config: AuditConfig) -> list[Check]:
    """A plant counts as found if any recogniser names it: any flag takes a class out."""
    from synthface.metrics.intervals import clopper_pearson

    tried = {name: result.plants_found for name, result in results.items() if result.plants_found is not None}
    if not tried:
        return []
    found = np.any(list(tried.values()), axis=0)
    level = 2 * config.confidence - 1
    n, hits = len(found), int(found.sum())
    interval = clopper_pearson(hits, n, level)
    passed = n >= config.planted_people and interval[0] >= config.min_recall
    if n < config.planted_people:
        need = (
            f"{config.planted_people} training people with {config.planted_photos} or more photos to plant ({n} have)"
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
        Check(
            recognizer=name,
            key="recall_alone",
            statistic="the same by this recogniser alone",
            value=float(one.mean()),
            interval=tuple(clopper_pearson(int(one.sum()), n, level)),  # type: ignore[arg-type]
            rule="reported",
            threshold=np.nan,
            passed=True,
            n=n,
            unit="planted people",
        )
        for name, one in tried.items()
    ]
    return [overall, *alone]


def _settle_leaks(checks: dict[str, list[Check]], config: AuditConfig) -> dict[str, list[Check]]:
    """Correct the p-values of all leak tests together, and let each check say yes, no or undecided.

    A recogniser to which placebo people are nearer to the training people finds leaks where there are none, so its
    tests against the hold-out show nothing. One that leans the other way, or fails V1, can miss a leak but not make
    one up: it is heard.
    """
    biased = {
        check.recognizer for check in checks["V3"] if not check.passed and (check.baseline or 0) > (check.control or 0)
    }
    family: list[Check] = []
    for name in ("A2", "A3", "A4", "A5"):
        checks[name] = [
            _set_aside(check) if name in _ON_HOLDOUT and check.recognizer in biased else check for check in checks[name]
        ]
        family += [check for check in checks[name] if check.p_value is not None]
    adjusted = dict(zip(map(id, family), holm([check.p_value or 0.0 for check in family]), strict=True))
    return {
        name: [_settle(check, adjusted.get(id(check)), config) for check in checks[name]]
        for name in ("A2", "A3", "A4", "A5")
    }


def _set_aside(check: Check) -> Check:
    need = f"a placebo that passes under {check.recognizer}: what it measures against the hold-out is biased until then"
    return replace(check, passed=None, p_value=None, need=need)


def _settle(check: Check, adjusted: float | None, config: AuditConfig) -> Check:
    if check.p_value is None or adjusted is None:
        return check
    if adjusted <= config.alpha:
        passed: bool | None = False
    elif check.passed and check.p_value > config.alpha:
        passed = True
    else:
        passed = None
    need = check.need or "an audit of another draw of the release: this test is suspicious, but not beyond chance"
    return replace(check, passed=passed, p_adjusted=adjusted, need="" if passed else need)
