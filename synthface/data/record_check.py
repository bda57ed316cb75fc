"""The lines of a manifest and the facts of ``faceset.json``, checked before anything believes them.

Whoever may edit a FaceSet may make its hashes fit; what must not happen is that a path leaves the folder, or that a
value of another type breaks a command in the middle of its work.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthface.core.errors import DataError
from synthface.data.untrusted import json_lines, printable, read_json_object, safe_identity, safe_name

_SHA256 = re.compile("[0-9a-f]{64}")
_KINDS = ("real", "synthetic", "inverted")
_NUMBER = (int, float)
_FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "source": (str,),
    "alignment": (str,),
    "landmarks": (list,),
    "quality": _NUMBER,
    "class_index": (int,),
    "seed": (int,),
    "generator": (str,),
    "psi": _NUMBER,
    "noise_mode": (str,),
    "cutoff": (int,),
    "code": (dict,),
    "processing": (dict,),
}


def checked_line(line: bytes) -> dict[str, Any]:
    """Return a manifest line as JSON.

    Raises:
        DataError: the reason alone: no JSON, or a field that no record of an image has like this.
    """
    value = read_json_object(line)
    safe_name(value.get("path"))
    safe_identity(value.get("identity"))
    if not isinstance(value.get("sha256"), str) or not _SHA256.fullmatch(value["sha256"]):
        raise DataError("its sha256 is no hash")
    if not all(_is(value.get(side), (int,)) and 0 < value[side] < 2**31 for side in ("width", "height")):
        raise DataError("its width and height are no sizes in pixels")
    for key, item in value.items():
        if item is not None and key in _FIELD_TYPES and not is_field(key, item):
            raise DataError(f"its {key} is {printable(item)}")
    return value


def is_field(key: str, value: Any) -> bool:
    """Say whether a record can have such a field, beside those that every record has."""
    return key in _FIELD_TYPES and _is(value, _FIELD_TYPES[key])


def check_info(info: dict[str, Any]) -> None:
    """Check what every FaceSet says of itself.

    Raises:
        DataError: the reason alone.
    """
    if info.get("kind") not in _KINDS:
        raise DataError(f"its kind is {printable(info.get('kind'))}, none of {', '.join(_KINDS)}")
    for key in ("n_images", "n_identities"):
        if not _is(info.get(key), (int,)) or not 0 <= info[key] < 2**53:
            raise DataError(f"its {key} is {printable(info.get(key))}, no count")
    if not isinstance(info.get("manifest_sha256"), str) or not isinstance(info.get("made_by"), dict):
        raise DataError("it lacks manifest_sha256 or made_by")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Return the lines of a manifest as checked JSON, one in memory at a time.

    Raises:
        DataError: names the line that is no record.
    """
    return json_lines(path, _record_line)


def _record_line(line: bytes) -> dict[str, Any]:
    try:
        return checked_line(line)
    except DataError as error:
        raise DataError(f"no record of an image ({error})") from None


def _is(value: Any, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)
