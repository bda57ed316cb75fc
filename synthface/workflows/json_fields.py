"""Types of the fields of a JSON file that somebody else may have written or damaged."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Types = type | tuple[type, ...]
_MISSING = object()  # of no type that JSON has


def wrong_field(value: Any, fields: Mapping[str, Types]) -> str | None:
    """Return the first field that is missing or of another type than it should be, or None.

    Args:
        value: what the file holds.
        fields: types by name, in the order to look; dots lead inwards, ``*`` stands for every member, and a field
            whose name ends with ``?`` may be missing. What lies within a null is not looked for.
    """
    for name, types in fields.items():
        if not all(isinstance(found, types) for found in _found(value, name.split("."))):
            return name.replace("?", "")
    return None


def _found(value: Any, keys: Sequence[str]) -> Iterator[Any]:
    if not keys:
        yield value
    elif isinstance(value, dict):
        name = keys[0].removesuffix("?")
        missing = [] if name != keys[0] else [_MISSING]
        members = value.values() if name == "*" else [value[name]] if name in value else missing
        for member in members:
            yield from _found(member, keys[1:])
    elif isinstance(value, list) and keys[0] == "*":
        for member in value:
            yield from _found(member, keys[1:])
    elif value is not None:
        yield _MISSING
