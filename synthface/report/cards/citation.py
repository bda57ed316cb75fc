"""``CITATION.cff`` of a data set."""

from typing import Any

from synthface.report.cards import words
from synthface.report.cards.facts import ReleaseFacts


def citation(facts: ReleaseFacts) -> bytes:
    """Return the file in the Citation File Format 1.2.0."""
    import yaml

    stated = facts.stated
    value: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use this data set, please cite it by its id and version.",
        "type": "dataset",
        "title": facts.title,
        "authors": [{"name": stated.creator or "not recorded"}],
        "version": stated.version,
        "identifiers": [{"type": "other", "value": f"synthface:{facts.set_id}", "description": "id of the set"}],
    }
    if stated.published:
        value["date-released"] = stated.published
    if stated.url:
        value["url"] = stated.url
    abstract = [f"Licence of the data set: {stated.licence}."] if stated.licence else []
    if facts.acknowledged:
        abstract.append(f"Identity-leakage audit: {words.outcome(facts)}. {words.risk(facts)}")
    if abstract:
        value["abstract"] = " ".join(abstract)
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=2**16).encode()
