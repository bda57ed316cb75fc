"""An append-only JSONL file that survives being killed in the middle of a line."""

import json
from pathlib import Path
from typing import IO, Any

from synthface.core.errors import ConfigError
from synthface.core.hashing import canonical_json

try:
    import fcntl
except ImportError:  # not on Windows; there nothing keeps two runs apart
    fcntl = None  # type: ignore[assignment]


class Journal:
    """One JSON record a line; every line is flushed, and a torn last line is cut off on opening.

    Raises:
        ConfigError: another process has it open; the lock goes with the process that holds it, however that ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream = path.open("a", encoding="utf-8")
        _lock(self._stream, path)
        self.records, whole_bytes = _scan(path)
        if path.stat().st_size > whole_bytes:
            self._stream.truncate(whole_bytes)

    def append(self, record: dict[str, Any]) -> None:
        """Write one record and flush it to the operating system."""
        self._stream.write(canonical_json(record) + "\n")
        self._stream.flush()
        self.records.append(record)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lock(stream: IO[str], path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        raise ConfigError(f"{path.parent} is being written by another process; wait until it ends or stop it") from None
    except OSError:  # a file system without locks: go on without
        return


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return the records of a journal that another process may be writing; the file is left as it is."""
    return _scan(path)[0]


def _scan(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the records before the first torn or unreadable line, and the bytes they take."""
    records: list[dict[str, Any]] = []
    whole_bytes = 0
    with path.open("rb") as stream:
        for line in stream:
            try:
                record = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                record = None
            if not isinstance(record, dict):
                break
            records.append(record)
            whole_bytes += len(line)
    return records, whole_bytes
