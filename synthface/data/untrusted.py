"""What is checked of names, labels and JSON that strangers wrote, before anything is done with them."""

import json
import unicodedata
from typing import Any

from synthface.core.errors import DataError
from synthface.core.hashing import canonical_json

MAX_TEXT_BYTES = 2**20  # one JSON object
_MAX_NAME_BYTES = 200  # of one part of a path; the common file systems take 255
_MAX_DEPTH = 16


def safe_name(name: object) -> str:
    """Return a path inside a set if it can be nothing else.

    Raises:
        DataError: no text, absolute, with parts like ``..``, control characters or back slashes, or too long.
    """
    if not isinstance(name, str):
        raise DataError("a name that is no text")
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
    if not isinstance(identity, str) or not identity or len(identity) > 4 * _MAX_NAME_BYTES:
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
        value = json.loads(text, parse_constant=_refuse_constant)
        canonical_json(value).encode()  # halves of surrogate pairs parse, but cannot be written
    except (ValueError, RecursionError) as error:
        raise DataError(f"metadata that is no JSON ({error!s:.80})") from None
    if not isinstance(value, dict):
        raise DataError("metadata that is no JSON object")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
