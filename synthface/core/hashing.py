"""SHA-256 of files and of JSON values."""

import hashlib
import json
from pathlib import Path
from typing import Any

# json.dumps makes an encoder a call, which takes longer than a record
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_bytes(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value in canonical form (sorted keys, no blanks)."""
    return sha256_bytes(canonical_json(value).encode())


def canonical_json(value: Any) -> str:
    """Return one line of JSON that is the same for equal values."""
    return _CANONICAL.encode(value)
