"""What is checked of names, labels and JSON that strangers wrote, before anything is done with them."""

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from synthface.core.errors import DataError
from synthface.core.hashing import canonical_json

MAX_TEXT_BYTES = 2**20  # one JSON object
_MAX_NAME_BYTES = 200  # of one part of a path; the common file systems take 255
_MAX_DEPTH = 16
MAX_IDENTITY_LETTERS = 4 * _MAX_NAME_BYTES
_PLAIN_PART = rf"[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{_MAX_NAME_BYTES - 1}}}"
_PLAIN_NAME = re.compile(rf"{_PLAIN_PART}(/{_PLAIN_PART}){{0,{_MAX_DEPTH - 1}}}")  # nearly all names
_MANY_BRACKETS = 64


def safe_name(name: object) -> str:
    """Return a path inside a set if it can be nothing else.

    Raises:
        DataError: no text, absolute, with parts like ``..``, control characters or back slashes, or too long.
    """
    if not isinstance(name, str):
        raise DataError("a name that is no text")
    if _PLAIN_NAME.fullmatch(name):
        return name
    parts = name.split("/")
    bad_part = any(part in ("", ".", "..") or len(part.encode("utf-8", "replace")) > _MAX_NAME_BYTES for part in parts)
    if bad_part or len(parts) > _MAX_DEPTH or not is_plain_text(name) or "\\" in name or ":" in parts[0]:
        raise DataError(f"the name {printable(name)} is no path inside a set")
    return name


def safe_identity(identity: object) -> str:
    """Return an identity if it is a short plain text.

    Raises:
        DataError: it is not.
    """
    if not isinstance(identity, str) or not identity or len(identity) > MAX_IDENTITY_LETTERS:
        raise DataError("an identity that is no text of a usual length")
    if not is_plain_text(identity):
        raise DataError(f"the identity {printable(identity)} holds characters that cannot be printed")
    return identity


def safe_label(label: object) -> int | None:
    """Return a label if it is none or a whole number that 64 bits hold.

    Raises:
        DataError: it is not.
    """
    if label is None:
        return None
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < 2**62:
        raise DataError(f"the label {printable(label)} is no whole number from 0 on")
    return label


def is_plain_text(text: str) -> bool:
    """Say whether a text has no control character and no half of a surrogate pair."""
    return text.isprintable() or not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)


def printable(value: object) -> str:
    """Return a stranger's value as a short text that a terminal can show."""
    text = value if isinstance(value, str) else repr(value)
    shown = text[:80].encode("unicode_escape").decode("ascii")
    return f"{shown}..." if len(text) > 80 else shown


def read_json_object(text: bytes | str) -> dict[str, Any]:
    """Parse a JSON object that a stranger wrote.

    Raises:
        DataError: too long, no JSON, no object, nested too deeply, or with numbers that are none.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise DataError(f"metadata of more than {MAX_TEXT_BYTES // 2**20} MB")
    try:
        words = (text.encode() if isinstance(text, str) else text).decode()
        value = _DECODER.decode(words)
        if "\\u" in words or words.count("[") + words.count("{") > _MANY_BRACKETS:
            canonical_json(value).encode()  # halves of surrogate pairs, and deep nests, parse, but cannot be written
    except (ValueError, RecursionError) as error:
        raise DataError(f"metadata that is no JSON ({error!s:.80})") from None
    if not isinstance(value, dict):
        raise DataError("metadata that is no JSON object")
    return value


def json_lines(path: Path, read: Callable[[bytes], dict[str, Any]] = read_json_object) -> Iterator[dict[str, Any]]:
    """Yield the lines of a JSONL file that a stranger wrote, one in memory at a time.

    Args:
        path: the file.
        read: parses and checks a line; its DataError gives the reason alone.

    Raises:
        DataError: names the line that cannot be read.
    """
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MAX_TEXT_BYTES + 2):
            number += 1
            try:
                yield read(line)
            except DataError as error:
                raise DataError(f"{path}, line {number}: {error}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is no number that can be kept")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
