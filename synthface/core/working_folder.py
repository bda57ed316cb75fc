"""The folder in which an artefact grows, however often it is stopped: its settings, and a journal for each process."""

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from synthface.core.atomic import write_atomic
from synthface.core.errors import ConfigError
from synthface.core.journal import Journal, is_being_written, iterate_journal

_SETTINGS = "settings.json"
_JOURNALS = "journal-*.jsonl"


def claim_folder(working: Path, key: str, *, rank: int) -> Journal:
    """Make a working folder, or go on with it, and return this process's journal.

    Args:
        working: the folder.
        key: hash of what decides the content.
        rank: of this process; the first one notes the key.

    Raises:
        ConfigError: it was begun with another key, or another process writes this journal.
    """
    working.mkdir(parents=True, exist_ok=True)
    settings = working / _SETTINGS
    if settings.exists() and json.loads(settings.read_text()) != key:
        if any(map(is_being_written, working.glob(_JOURNALS))):
            raise ConfigError(
                f"{working} is being written by another process with other settings or inputs; give another --out, or "
                "wait until it ends"
            )
        raise ConfigError(
            f"{working} was begun with other settings or inputs; repeat those to go on, or remove it to start anew"
        )
    if rank == 0 and not settings.exists():
        for path in working.glob(f".{_SETTINGS}.*.tmp"):  # of a run that was killed right here
            path.unlink()
        write_atomic(settings, json.dumps(key).encode())
    return Journal(working / _JOURNALS.replace("*", str(rank)))


def iterate_journals(working: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of every process, one at a time."""
    for path in sorted(working.glob(_JOURNALS)):
        yield from iterate_journal(path)


def clear_working_files(folder: Path) -> None:
    """Remove settings and journals; what they were for is complete."""
    for path in (*folder.glob(_JOURNALS), folder / _SETTINGS):
        path.unlink(missing_ok=True)


def is_working_file(name: str) -> bool:
    """Say whether a file of that name is there only while the artefact grows."""
    return name == _SETTINGS or fnmatchcase(name, _JOURNALS)
