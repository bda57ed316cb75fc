"""Figures for everybody: exact scores are themselves a way to query the training set."""

import re
from collections.abc import Mapping
from typing import Any

# A decimal number that is no part of a name, a version, a range or a path.
_DECIMAL = re.compile(r"(?<![\w./])(?<!\w-)\d+\.\d+(?:e[+-]?\d+)?(?![\w/-]|\.\w)")


def coarse(value: Any) -> Any:
    """Round the numbers of a JSON value: below 1 to two significant digits, others to whole ones; strings stay."""
    if isinstance(value, float):
        return float(_written(value))
    if isinstance(value, Mapping):
        return {key: coarse(item) for key, item in value.items()}
    return [coarse(item) for item in value] if isinstance(value, list) else value


def coarse_text(text: str) -> str:
    """Round the decimal numbers of a sentence as ``coarse`` does; whole ones, which count things, stay."""
    return _DECIMAL.sub(lambda found: _written(float(found[0])), text)


def coarse_gate(gate: Mapping[str, Any]) -> dict[str, Any]:
    """Return a gate of an audit for everybody, with the figures in its sentences rounded as well."""
    rough: dict[str, Any] = coarse(gate)
    checks = [
        {**check, **{name: coarse_text(check[name]) for name in ("statistic", "need")}} for check in rough["checks"]
    ]
    return {**rough, "text": coarse_text(rough["text"]), "checks": checks}


def _written(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1 else f"{value:.2g}"
