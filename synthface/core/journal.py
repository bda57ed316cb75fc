"""An append-only JSONL file that survives being killed in the middle of a line."""

import json
from collections.abc import Iterator
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

    The records stay in the file: a journal of any length takes the memory of a line.

    Raises:
        ConfigError: another process has it open; the lock goes with the process that holds it, however that ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream = path.open("a", encoding="utf-8")
        _lock(self._stream, path)
        whole_bytes = sum(n_bytes for _, n_bytes in _scan(path))
        if path.stat().st_size > whole_bytes:
            self._stream.truncate(whole_bytes)

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records so far, read from the file."""
        return read_journal(self.path)

    def append(self, record: dict[str, Any]) -> None:
        """Write one record and flush it to the operating system."""
        self._stream.write(canonical_json(record) + "\n")
        self._stream.flush()

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


def is_being_written(path: Path) -> bool:
    """Say whether a journal is open in another process; where there are no locks, it never seems to be."""
    if fcntl is None:
        return False
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks
            return False
    return False


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return the records of a journal that another process may be writing; the file is left as it is."""
    return list(iterate_journal(path))


def iterate_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records one at a time, up to the first torn or unreadable line."""
    return (record for record, _ in _scan(path))


def _scan(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each record before the first torn or unreadable line, and the bytes it takes."""
    with path.open("rb") as stream:
        for line in stream:
            try:
                record = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                record = None
            if not isinstance(record, dict):
                return
            yield record, len(line)
