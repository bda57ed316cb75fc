"""The Markdown card of an audit: verdict, gates, power, limits and hashes; no names, pictures or fine scores."""

from collections.abc import Iterator, Mapping
from typing import Any

from synthface.report.audit_page import LIMITS, LINKED_BY, profile_words, worst_check
from synthface.report.coarse import coarse_gate, coarse_text
from synthface.report.page import number, percent

_OUTCOMES = {True: "passed", False: "failed", None: "undecided"}
_RULES = {
    "<=": "at most",
    ">=": "at least",
    ">": "above",
    "upper <=": "upper end at most",
    "lower >=": "lower end at least",
}


def audit_card(result: Mapping[str, Any], provenance: Mapping[str, str]) -> str:
    """Return the card; it may be published with the set.

    Args:
        result: the audit as JSON.
        provenance: SHA-256 of inputs, recognisers and configuration by what they are.
    """
    return "\n".join(_lines(result, provenance)) + "\n"


def _lines(result: Mapping[str, Any], provenance: Mapping[str, str]) -> Iterator[str]:
    yield f"# Identity-leakage audit: {result['verdict']}"
    yield ""
    yield coarse_text(result["claim"])
    yield ""
    sizes = [
        f"{role}: {size['images']:,} images, {size['identities']:,} identities"
        for role, size in result["sizes"].items()
    ]
    yield from (f"- {size}" for size in sizes)
    yield f"- recognisers: {', '.join(result['recognizers'])}"
    if "train" in result["sizes"]:
        yield f"- labels lead to training people by {LINKED_BY[result['linked_by']]}"
    yield f"- limits: {profile_words(result)}"
    if "holdout" in result["sizes"]:
        rounds = result["remediation"]["rounds"] if result["remediation"] else 1
        most = result["config"]["max_rounds"]
        counted = f"audits of this set in its clean-up: {rounds} of at most {most}"
        yield f"- {counted} (others against this hold-out are not counted)"
    yield from _list("What this audit cannot say", result.get("not_concluded", []))
    yield from ("", "## Gates", "")
    yield "| id | test | value | interval | n | limit | result |"
    yield "|---|---|---:|---:|---:|---:|---|"
    for gate in result["gates"].values():
        yield _gate_row(coarse_gate(gate))
    if result.get("power"):
        yield from ("", "## Power: planted leaks that were found", "")
        yield "| planted | found | interval |"
        yield "|---|---:|---:|"
        for row in result["power"]:
            ends = f"{percent(row['interval'][0], 0)} to {percent(row['interval'][1], 0)}"
            yield f"| {_cell(row['words'])} | {row['found']} of {row['n']} | {ends} |"
    yield from _list("Limits", LIMITS)
    yield from ("", "## Provenance (SHA-256)", "")
    yield from (f"- {what}: `{digest}`" for what, digest in provenance.items())
    for name, facts in result["recognizer_facts"].items():
        yield f"- {name}: {facts['architecture']}, trained on {facts['trained_on']}"


def _list(title: str, sentences: Any) -> Iterator[str]:
    if sentences:
        yield from ("", f"## {title}", "")
        yield from (f"- {sentence[0].upper()}{sentence[1:]}" for sentence in sentences)


def _gate_row(gate: Mapping[str, Any]) -> str:
    worst = worst_check(gate)
    outcome = _OUTCOMES[gate["passed"]] if gate["applicable"] else "not applicable"
    if gate["kind"] == "warning" and gate["passed"] is False:
        outcome = "warning"
    if worst is None:
        return f"| {gate['id']} | {_cell(gate['title'])} | | | | | {outcome} |"
    interval = " to ".join(map(number, worst["interval"])) if worst["interval"] else ""
    limit = f"{_RULES[worst['rule']]} {number(worst['threshold'])}" if worst["rule"] in _RULES else ""
    cells = [gate["id"], gate["title"], number(worst["value"]), interval, number(worst["n"]), limit, outcome]
    return "| " + " | ".join(_cell(str(cell)) for cell in cells) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
