"""What the browse page knows of a set, as compact JSON: what is equal for all, for an identity, and for an image."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_OWN = ("path", "identity")  # keys of a record that the page needs by themselves
_SAFE_INTEGER = 2**53  # larger ones are no exact numbers in JavaScript, so they travel as text
_DIGITS = 4


@dataclass(frozen=True)
class Score:
    """A number known of every image, by which the page filters and sorts.

    Attributes:
        name: key in addresses, such as ``sharpness``.
        label: words for people.
        values: one for each image, None where it is not known.
    """

    name: str
    label: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Flags:
    """What an audit or a check says of identities and images, by name and by path."""

    identities: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)


def shown_rows(identities: Sequence[str], per_identity: int | None) -> dict[str, list[int]]:
    """Return the rows of each identity that the page shows, spread evenly over those it has, in sorted order.

    Args:
        identities: the identity of each image.
        per_identity: at most so many; None for all.
    """
    rows: dict[str, list[int]] = {identity: [] for identity in sorted(set(identities))}
    for row, identity in enumerate(identities):
        rows[identity].append(row)
    if per_identity is None:
        return rows
    return {identity: _spread(chosen, per_identity) for identity, chosen in rows.items()}


def _spread(rows: list[int], most: int) -> list[int]:
    if len(rows) <= most:
        return rows
    return [rows[k * len(rows) // most] for k in range(most)]


def page_data(
    records: Sequence[Mapping[str, Any]],
    rows: Mapping[str, Sequence[int]],
    *,
    scores: Sequence[Score] = (),
    flags: Flags | None = None,
) -> dict[str, Any]:
    """Return the JSON value that the page's script reads.

    Args:
        records: manifest lines of all images.
        rows: which of them are shown, by identity.
        scores: numbers of all images.
        flags: what the audit says.
    """
    flags = flags or Flags()
    totals: dict[str, int] = {}
    for record in records:
        totals[record["identity"]] = totals.get(record["identity"], 0) + 1
    shown = [row for chosen in rows.values() for row in chosen]
    everywhere, by_identity, by_image = _factored(records, rows)
    return {
        "shared": everywhere,
        "identities": [
            {"name": name, "total": totals[name], "shown": len(chosen)}
            | ({"fields": by_identity[name]} if by_identity[name] else {})
            | ({"flag": flags.identities[name]} if name in flags.identities else {})
            for name, chosen in rows.items()
        ],
        "paths": [records[row]["path"] for row in shown],
        "fields": {key: [_exact(records[row].get(key)) for row in shown] for key in by_image},
        "scores": [_score(score, shown) for score in scores],
        "flags": {
            str(k): flags.images[records[row]["path"]]
            for k, row in enumerate(shown)
            if records[row]["path"] in flags.images
        },
    }


def _factored(
    records: Sequence[Mapping[str, Any]], rows: Mapping[str, Sequence[int]]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], list[str]]:
    """Say which fields are one value for all, which one value for an identity, and which differ from image to image."""
    keys = sorted({key for record in records for key in record} - set(_OWN))
    everywhere: dict[str, Any] = {}
    by_identity: dict[str, dict[str, Any]] = {name: {} for name in rows}
    by_image: list[str] = []
    for key in keys:
        values = {name: {json.dumps(records[row].get(key)) for row in chosen} for name, chosen in rows.items()}
        if any(len(found) > 1 for found in values.values()):
            by_image.append(key)
        elif len(set.union(*values.values())) == 1:
            everywhere[key] = _exact(records[next(iter(rows.values()))[0]].get(key))
        else:
            for name, chosen in rows.items():
                if key in records[chosen[0]]:
                    by_identity[name][key] = _exact(records[chosen[0]][key])
    return everywhere, by_identity, by_image


def _exact(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _SAFE_INTEGER:
        return str(value)
    return value


def _score(score: Score, shown: Sequence[int]) -> dict[str, Any]:
    values = [_rounded(score.values[row]) for row in shown]
    known = [value for value in values if value is not None]
    return {
        "name": score.name,
        "label": score.label,
        "low": min(known, default=0.0),
        "high": max(known, default=0.0),
        "values": values,
    }


def _rounded(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")


def script_json(value: Any) -> str:
    """Return JSON that can stand inside a script element whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
