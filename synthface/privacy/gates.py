"""From measurements under each recogniser to the gates of the protocol."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from synthface.privacy.acquisition import Acquisition, unaudited_check
from synthface.privacy.config import AuditConfig
from synthface.privacy.copies import Copies
from synthface.privacy.copy_checks import copy_checks
from synthface.privacy.gate_texts import HOW_TO_DECIDE, NOT_LOOKED_AT, REMEDIES, TITLES, UNAUDITED, text_of
from synthface.privacy.inputs import AuditInputs
from synthface.privacy.label_source import ACCIDENT
from synthface.privacy.measure import Measurement
from synthface.privacy.plants import KINDS, PlantOutcome
from synthface.privacy.settle import settle_leaks
from synthface.privacy.validity import (
    holdout_checks,
    placebo_over_recognizers,
    power_checks,
)
from synthface.privacy.verdict import Check, Gate, Kind

Results = dict[str, Measurement]
_WARNINGS = ("V5", "A7")


def build_gates(
    inputs: AuditInputs,
    results: Results,
    copies: Mapping[tuple[str, str], Copies],
    config: AuditConfig,
    *,
    planted: Sequence[PlantOutcome] = (),
    acquisition: Acquisition | None = None,
    label_map_missing: bool = False,
) -> dict[str, Gate]:
    """Return the gates V1 to A7 in the order of the protocol."""
    names = [name for name in TITLES if name != "A8"]
    checks = {name: _gather(results, name) for name in names}
    checks["A1"] = copy_checks(copies, inputs.signatures, config)
    checks["V2"] = holdout_checks(inputs, results, copies, config)
    checks["V3"] = placebo_over_recognizers(checks["V3"], config)
    checks["V4"] = power_checks(results, planted, config)
    unaudited = unaudited_check(acquisition, inputs.sizes()["synthetic"]["images"], config)
    checks["V5"] = [unaudited, *checks["V5"]]
    checks |= settle_leaks(checks, config)
    gates = {name: _gate(name, checks[name]) for name in names}
    gates["V1"] = _recognizer_gate(checks["V1"], config)
    gates["V4"] = _power_gate(gates["V4"], planted)
    if unaudited.passed is not True:  # a hub alone is a warning, but nobody can pass images that nobody could audit
        text = UNAUDITED if unaudited.passed is False else NOT_LOOKED_AT
        gates["V5"] = replace(gates["V5"], kind="validity", text=text)
    n_labelled = len(inputs.labels or {})
    # Equal running numbers are a guess that shows a leak if it hits, and nothing if it does not.
    is_guess = label_map_missing and inputs.linked_by != "names" and gates["A4"].passed is not False
    if "train" in inputs.roles and (is_guess or (n_labelled and not checks["A4"])):
        gates["A4"] = _unexplained_gate(n_labelled)
    elif "train" in inputs.roles and not checks["A4"]:
        gates["A4"] = _unlabelled_gate()
    elif gates["A4"].passed and inputs.linked_by == "numbers":
        gates["A4"] = replace(gates["A4"], text=f"{gates['A4'].text} But {ACCIDENT}.")
    return gates


def _gather(results: Results, gate: str) -> list[Check]:
    return [check for result in results.values() for check in result.checks.get(gate, [])]


def _gate(name: str, checks: list[Check]) -> Gate:
    outcomes = [check.passed for check in checks]
    passed = None if not checks or (None in outcomes and False not in outcomes) else all(outcomes)
    kind: Kind = "warning" if name in _WARNINGS else "validity" if name.startswith("V") else "leak"
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
    """Return what a gate that did not pass asks for."""
    if not checks:
        return (HOW_TO_DECIDE[name],) if HOW_TO_DECIDE[name] else ()
    if passed is False and name in REMEDIES:
        return (REMEDIES[name],)
    return largest_needs(check.need for check in checks if not check.passed and check.need)


def largest_needs(needs: Iterable[str]) -> tuple[str, ...]:
    """Return each need once; of those that differ only in numbers, the largest, in the place of the first."""
    largest: dict[str, str] = {}
    for need in needs:
        kind = re.sub(r"\d+", "#", need)
        if kind not in largest or _numbers(need) > _numbers(largest[kind]):
            largest[kind] = need
    return tuple(largest.values())


def _numbers(text: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", text)]


def _recognizer_gate(checks: list[Check], config: AuditConfig) -> Gate:
    """V1 asks for enough good recognisers, not for all of them to be good."""
    if not checks:
        return _gate("V1", checks)
    good = sum(bool(check.passed) for check in checks)
    enough = Check(
        key="recognizers",
        statistic="recognisers that work at this resolution",
        value=good,
        rule=">=",
        threshold=config.min_recognizers,
        passed=good >= config.min_recognizers,
        n=len(checks),
        unit="recognisers",
    )
    gate = _gate("V1", [enough, *checks])
    if enough.passed:
        return replace(gate, passed=True, text=text_of("V1", True, measured=True), needs=())
    missing = (
        f"{config.min_recognizers} recognisers that pass V1 (of another backbone and training set each; so far {good})"
    )
    return replace(gate, passed=False, text=text_of("V1", False, measured=True), needs=(missing, *gate.needs))


def _power_gate(gate: Gate, planted: Sequence[PlantOutcome]) -> Gate:
    """V4 asks for copies to be planted as images too; embeddings alone cannot show that these would be found."""
    wanted = [kind for kind in KINDS.values() if kind.demand == "all"]
    missing = [kind for kind in wanted if kind.key not in {outcome.kind for outcome in planted}]
    if not missing or not gate.checks:
        return gate
    need = "images to plant, as 'synthface audit' makes them: " + "; ".join(kind.words for kind in missing)
    passed = None if gate.passed else gate.passed
    text = gate.text if passed is False else text_of("V4", None, measured=True)
    return replace(gate, passed=passed, text=text, needs=(*gate.needs, need))


def _unexplained_gate(n_labelled: int) -> Gate:
    """A4 where classes there are, but too little is known of whose they are."""
    if n_labelled == 1:
        text, need = "Undecided: a single class carries a label.", "a release of two labelled classes or more"
    else:
        text = (
            "Undecided: the images say of which class of their generator they are, and not of which training set. "
            "Labels are the sharpest test there is."
        )
        need = (
            "the generator's record of its training set, as 'synthface generate' writes it into faceset.json "
            "(a converted copy or a file by import-gan may lack it), or identities that are no classes"
        )
    return Gate(id="A4", title=TITLES["A4"], kind="leak", passed=None, text=text, needs=(need,))


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
