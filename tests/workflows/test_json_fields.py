"""Types of the fields of a JSON file: the first wrong one is named."""

from types import NoneType
from typing import Any

import pytest

from synthface.workflows.json_fields import wrong_field

FIELDS = {"name": str, "parts": dict, "parts.*.n": int, "rows.*.at": str, "more": (dict, NoneType), "more.key": str,
          "late?": list, "late?.*": int}  # fmt: skip
WHOLE = {"name": "a", "parts": {"one": {"n": 1}, "two": {"n": 2}}, "rows": [{"at": "x"}], "more": {"key": "k"}}


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, None),
        ({"more": None, "rows": [], "parts": {}, "late": [3]}, None),
        ({"name": 1}, "name"),
        ({"parts": []}, "parts"),
        ({"parts": {"one": {"n": 1}, "two": {}}}, "parts.*.n"),
        ({"parts": {"one": 1}}, "parts.*.n"),
        ({"rows": "x"}, "rows.*.at"),
        ({"more": {}}, "more.key"),
        ({"more": "x"}, "more"),
        ({"late": ["3"]}, "late.*"),
    ],
)
def test_the_first_wrong_field_is_named(changes: dict[str, Any], wrong: str | None) -> None:
    assert wrong_field(WHOLE | changes, FIELDS) == wrong


@pytest.mark.parametrize("value", [[], "text", 3])
def test_what_is_no_object_has_no_field(value: Any) -> None:
    assert wrong_field(value, FIELDS) == "name"
