"""The verdict in one sentence, with its numbers and without names."""

import math

from synthface.privacy.config import AuditConfig
from synthface.privacy.label_source import LinkedBy
from synthface.privacy.verdict import Check, Gate, Outcome

_FOUND = {
    "A1": "images are copies of training photos",
    "A4": "classes resemble the training person of their label",
    "A3": "classes or images are nearer to a training person than look-alikes explain",
    "A2": "training people are nearer to the set than people held out",
    "A5": "membership in the training set can be inferred",
    "A6": "images lie nearer to the training photos than fresh photos do",
    "A8": "a recogniser kept apart from the clean-up still finds a leak",
}


def claim_of(
    outcome: Outcome,
    gates: dict[str, Gate],
    needs: tuple[str, ...],
    n_classes: int,
    linked_by: LinkedBy,
    config: AuditConfig,
) -> str:
    """Return the claim that a verdict stands for; what the alarm finds of planted leaks is part of every one.

    Args:
        outcome: the verdict.
        gates: by id.
        needs: what would let them pass.
        n_classes: of the synthetic set.
        linked_by: how labels lead to training people.
        config: the limits.
    """
    if outcome == "FAIL":
        failed = [name for name in _FOUND if gates[name].passed is False]
        found = [
            _FOUND[name] + (f" ({figures})" if (figures := _figures(name, gates[name])) else "") for name in failed
        ]
        return f"Real people can be found again in this set: {'; '.join(found)}; {_power(gates)}."
    if outcome == "PASS":
        return _bound(gates, n_classes, linked_by, config)
    first = needs[0] if needs else "more data"
    wanted = f"{len(needs)} things, first {first}" if len(needs) > 1 else first
    tested = any(gates[name].checks for name in _FOUND)
    looked = "No leak was shown, but the audit could not rule one out" if tested else "Nothing could be tested"
    return f"{looked}: it needs {wanted}; {_power(gates)}{_faces(gates)}."


def _bound(gates: dict[str, Gate], n_classes: int, linked_by: LinkedBy, config: AuditConfig) -> str:
    found = [check.interval[0] for check in (_recall(gates), _planted_classes(gates)) if check and check.interval]
    assert found  # V4 passed
    leaking = min(1.0, -math.log(1 - config.confidence) / (n_classes * min(found)))
    linkage = "" if gates["A4"].applicable else "; label linkage was not applicable"
    if linked_by == "numbers":
        linkage = "; labels lead to people by equal running numbers only, which may be an accident"
    return (
        f"0 of {n_classes} classes flagged, and no image; {_power(gates)}; "
        f"at most {leaking:.2%} of the classes show one as plainly as those planted ({config.confidence:.0%} "
        f"confidence){linkage}{_faces(gates)}."
    )


def _recall(gates: dict[str, Gate]) -> Check | None:
    return next((check for check in gates["V4"].checks if check.key == "recall"), None)


def _planted_classes(gates: dict[str, Gate]) -> Check | None:
    """Return what was found of whole classes planted as images, if any could be planted."""
    return next((check for check in gates["V4"].checks if check.key == "planted_class-100" and check.n), None)


def _power(gates: dict[str, Gate]) -> str:
    """Say what was found of either way of planting whole people; one alone could be the flattering one."""
    recall, classes = _recall(gates), _planted_classes(gates)
    found = []
    if recall and recall.interval:
        found.append(f"{_share(recall)} of {recall.n} training people planted by embeddings of their other photos")
    if classes and classes.interval:
        found.append(f"{_share(classes)} of {classes.n} planted as classes of images")
    return f"the alarm finds {' and '.join(found)}" if found else "what the alarm finds is not known"


def _share(check: Check) -> str:
    assert check.interval is not None
    low, high = check.interval
    return f"{check.value:.1%} [{low:.1%}, {high:.1%}]"


def _faces(gates: dict[str, Gate]) -> str:
    """Say so where nobody looked for images without a face."""
    checked = all(check.passed is not None for check in gates["V5"].checks if check.key == "unaudited")
    return "" if checked else "; whether every image shows a face was not checked"


def _figures(name: str, gate: Gate) -> str:
    if name == "A4":
        hits, area = _largest(gate, "rank1_hits"), _largest(gate, "auc")
        return (
            f"{hits.value:.0f} of {hits.n:,} at rank 1 where chance gives {hits.baseline:.2g}, AUC {area.value:.2f}"
            if hits and area
            else "label permutation"
        )
    if name == "A3":
        classes, images = _largest(gate, "flagged"), _largest(gate, "flagged_images")
        return ", ".join(f"{check.value:.0f} of {check.n:,} {what}"
                         for check, what in ((classes, "classes"), (images, "images")) if check)  # fmt: skip
    if name == "A2":
        smallest = min((check for check in gate.checks if check.p_value is not None), key=lambda check: check.value)
        return f"p = {smallest.value:.2g}"
    if name == "A1":
        copies = _largest(gate, "copies")
        return f"{copies.value:.0f} of {copies.n:,}" if copies else ""
    if name == "A6":
        copying = min((check for check in gate.checks if check.key == "c_t"), key=lambda check: check.value)
        return f"C_T {copying.value:.1f}"
    if name == "A8":
        return ""
    area = _largest(gate, "auc")
    return f"AUC {area.value:.2f}" if area else ""


def _largest(gate: Gate, key: str) -> Check | None:
    """Return the check with the largest value of a statistic."""
    matching = [check for check in gate.checks if check.key == key]
    return max(matching, key=lambda check: check.value, default=None)
