"""Which leaks are shown: every p-value corrected for all tests of the audit, and biased recognisers set aside."""

from dataclasses import replace

import numpy as np

from synthface.privacy.config import AuditConfig
from synthface.privacy.multiple_testing import holm
from synthface.privacy.verdict import Check

LEAKS = ("A1", "A2", "A3", "A4", "A5", "A6")
_ON_HOLDOUT = ("A2", "A3", "A5", "A6")  # tests that stand on training and hold-out being exchangeable

Checks = dict[str, list[Check]]


def settle_leaks(checks: Checks, config: AuditConfig) -> Checks:
    """Correct the p-values of all leak tests together, and let each check say yes, no or undecided.

    A recogniser to which placebo people are nearer to the training people finds leaks where there are none, so its
    tests against the hold-out show nothing. One that leans the other way, or fails V1, can miss a leak but not make
    one up: it is heard.
    """
    biased = {
        check.recognizer for check in checks["V3"] if not check.passed and (check.training or 0) > (check.control or 0)
    }
    heard = {
        name: [
            _set_aside(check) if name in _ON_HOLDOUT and check.recognizer in biased else check for check in checks[name]
        ]
        for name in LEAKS
    }
    family = [check for name in LEAKS for check in heard[name] if check.p_value is not None]
    adjusted = dict(zip(map(id, family), holm([check.p_value or 0.0 for check in family]), strict=True))
    needed = int(np.ceil(len(family) / config.alpha))  # permutations for the smallest p to survive the correction
    return {name: [_settle(check, adjusted.get(id(check)), needed, config) for check in heard[name]] for name in LEAKS}


def _set_aside(check: Check) -> Check:
    if check.rule == "reported":
        return check
    need = f"a placebo that passes under {check.recognizer}: what it measures against the hold-out is biased until then"
    return replace(check, passed=None, p_value=None, need=need)


def _settle(check: Check, adjusted: float | None, needed: int, config: AuditConfig) -> Check:
    if check.p_value is None or adjusted is None:
        return check
    if adjusted <= config.alpha:
        passed: bool | None = False
    elif check.passed and check.p_value > config.alpha:
        passed = True
    else:
        passed = None
    smallest = check.p_value <= 1 / (config.permutations + 1)
    if passed is None and smallest and config.permutations < needed:
        return replace(check, passed=None, p_adjusted=adjusted, need=f"{needed} permutations or more, to decide")
    need = check.need or "an audit of another draw of the release: this test is suspicious, but not beyond chance"
    return replace(check, passed=passed, p_adjusted=adjusted, need="" if passed else need)
