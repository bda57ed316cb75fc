"""Files and folders that appear whole or not at all."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from synthface.core.errors import ConfigError


def partial_path(out: Path) -> Path:
    """Return the working name of an artefact: beside it, with the suffix ``.partial``."""
    return out.with_name(out.name + ".partial")


def require_absent(out: Path, *, flag: str = "--out") -> None:
    """Raise ConfigError if an artefact already stands where a new one is to go."""
    if out.exists():
        raise ConfigError(f"{flag} {out} already exists; give another path or remove it first")


@contextmanager
def atomic_folder(out: Path) -> Iterator[Path]:
    """Yield a working folder that becomes ``out`` when the block ends well.

    For short work: an interrupted run leaves only the working folder, which the next run clears.
    """
    require_absent(out)
    working = partial_path(out)
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    yield working
    working.rename(out)


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it into place."""
    with atomic_file(path) as stream:
        stream.write(content)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a stream to a temporary file that becomes ``path`` when the block ends well, for what is not held whole."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
