"""Names, numbers and JSON of strangers: what is taken, what is refused, whichever way it is checked."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthface.core.errors import DataError
from synthface.data import untrusted
from synthface.data.untrusted import json_lines, read_json_object, safe_name

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
parts = st.text("ab09_.-~ :\\\n\u202eä/", max_size=8) | st.sampled_from(
    ["", ".", "..", "a" * 200, "a" * 201, "ä" * 101]
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), values))
def test_what_json_writes_is_read(value: dict[str, object]) -> None:
    try:
        text = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return
    assert read_json_object(text) == value == read_json_object(text.decode())


@pytest.mark.parametrize(
    "text",
    [
        b'{"x": 1e999}', b'{"x": -1e999}', b'{"x": NaN}', b'{"x": Infinity}', b'{"x": "\\ud800"}', b'{"\\udc00": 1}',
        b'{"x": "\xed\xa0\x80"}', b'{"x": "\xff"}', '{"x": 1}'.encode("utf-16"), b'\xef\xbb\xbf{"x": 1}', b"{} {}",
        b"[]", b"1", b"", b'{"x": ' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"x": ' + b"9" * 5000 + b"}", "\ud800",
        b'{"x": "' + b"a" * 2**20 + b'"}',
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused(text: bytes | str) -> None:
    with pytest.raises(DataError, match="metadata"):
        read_json_object(text)


@given(st.lists(parts, max_size=20).map("/".join))
def test_the_quick_look_at_names_takes_nothing_that_the_slow_one_refuses(name: str) -> None:
    if untrusted._PLAIN_NAME.fullmatch(name):
        assert all(0 < len(part) <= 200 and part not in (".", "..") for part in name.split("/"))
        assert name.isprintable()
        assert not set(name) & set("\\:")
        assert len(name.split("/")) <= 16
        assert safe_name(name) == name


def test_numbers_keep_every_digit() -> None:
    value = {"x": [math.pi, 2**62 + 1, 5e-324, -0.0, 1e308]}
    assert read_json_object(json.dumps(value).encode()) == value


def test_lines_are_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n{"a": 2\n')
    lines = json_lines(tmp_path / "x.jsonl")
    assert next(lines) == {"a": 1}
    with pytest.raises(DataError, match=r"x\.jsonl, line 2: metadata that is no JSON"):
        next(lines)
