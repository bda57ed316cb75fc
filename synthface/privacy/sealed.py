"""A8: after a clean-up, the leak gates once more, by a recogniser that had no part in it."""

from collections.abc import Mapping

from synthface.privacy.config import AuditConfig
from synthface.privacy.gate_texts import TITLES
from synthface.privacy.remediation import Remediation
from synthface.privacy.verdict import Check, Gate

_REPEATED = ("A1", "A2", "A3", "A4", "A5")


def sealed_recognizers(remediation: Remediation | None, recognizers: tuple[str, ...]) -> tuple[str, ...]:
    """Return the recognisers that had no part in the clean-up; none where there was none."""
    if remediation is None:
        return ()
    return tuple(name for name in recognizers if name not in remediation.used_recognizers)


def sealed_gate(
    remediation: Remediation | None, sealed: tuple[str, ...], gates: Mapping[str, Gate], config: AuditConfig
) -> Gate:
    """Return gate A8.

    Filtering by a recogniser leaves what that recogniser cannot see, so only another one can tell whether the leak is
    gone. It must be valid (V1), find planted people by itself (V4), and let A1 to A5 pass by itself.

    Args:
        remediation: what was done, or None.
        sealed: recognisers that had no part in it.
        gates: the other gates.
        config: the limits.
    """
    if remediation is None:
        text = "Not applicable: nothing was taken out of the set on a recogniser's word."
        return Gate(id="A8", title=TITLES["A8"], kind="leak", passed=True, applicable=False, text=text)
    rounds = _rounds_check(remediation, config)
    valid = tuple(check.recognizer for check in gates["V1"].checks if check.passed and check.recognizer in sealed)
    if not valid:
        used = ", ".join(remediation.used_recognizers)
        need = f"a recogniser that passes V1 and was not used for the clean-up ({used} was): it alone can tell"
        text = "The set was cleaned, and every good recogniser had a part in that: none can tell whether it worked."
        return _gate(None, text, (rounds,), (need,))
    checks = (rounds, *_power(valid, gates, config), *_repeated(valid, gates))
    failed = [check for check in checks if check.passed is False and check.key not in ("rounds", "recall_alone")]
    names = ", ".join(valid)
    if failed:
        text = f"A recogniser that had no part in the clean-up still finds a leak ({names})."
        return _gate(False, text, checks, ("another way of making the set: taking images out did not remove the leak",))
    open_needs = tuple(dict.fromkeys(check.need for check in checks if not check.passed and check.need))
    if open_needs or not all(check.passed for check in checks):
        return _gate(None, f"The recogniser kept apart ({names}) cannot decide yet.", checks, open_needs)
    return _gate(True, f"A recogniser that had no part in the clean-up finds no leak ({names}).", checks, ())


def _gate(passed: bool | None, text: str, checks: tuple[Check, ...], needs: tuple[str, ...]) -> Gate:
    return Gate(id="A8", title=TITLES["A8"], kind="leak", passed=passed, text=text, checks=checks, needs=needs)


def _rounds_check(remediation: Remediation, config: AuditConfig) -> Check:
    within = remediation.rounds <= config.max_rounds
    return Check(
        key="rounds",
        statistic="audits of this release against this hold-out; each tells its maker something about it",
        value=remediation.rounds,
        rule="<=",
        threshold=config.max_rounds,
        passed=True if within else None,
        n=remediation.rounds,
        unit="audits",
        need="" if within else f"a new hold-out: this one was used {remediation.rounds} times",
    )


def _power(valid: tuple[str, ...], gates: Mapping[str, Gate], config: AuditConfig) -> list[Check]:
    """Return the sealed recognisers' own recall, now a demand."""
    from dataclasses import replace

    checks = [check for check in gates["V4"].checks if check.key == "recall_alone" and check.recognizer in valid]
    return [
        replace(
            check,
            rule="lower >=",
            threshold=config.min_recall,
            passed=True if check.interval is not None and check.interval[0] >= config.min_recall else None,
            need="a sealed recogniser that finds planted people by itself",
        )
        for check in checks
    ]


def _repeated(valid: tuple[str, ...], gates: Mapping[str, Gate]) -> list[Check]:
    """Return the leak checks by the sealed recognisers or by none; for a gate without any, one undecided."""
    checks: list[Check] = []
    for name in _REPEATED:
        own = [check for check in gates[name].checks if check.recognizer in (*valid, "") and check.rule != "reported"]
        checks += own
        if not own and gates[name].applicable:
            needs = gates[name].needs
            checks.append(_untested(name, needs[0] if needs else ""))
    return checks


def _untested(name: str, need: str) -> Check:
    nan = float("nan")
    return Check(
        key=f"untested_{name}",
        statistic=f"gate {name} could not be tested",
        value=nan,
        rule="reported",
        threshold=nan,
        passed=None,
        n=0,
        unit="classes",
        need=need,
    )
