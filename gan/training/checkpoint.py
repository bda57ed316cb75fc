"""Training checkpoints: the latest and the last good one, each replaced atomically, read without running anything."""

import io
import logging
import os
import uuid
from pathlib import Path
from typing import Any

import torch

from synthface.core.atomic import write_atomic
from synthface.core.errors import ConfigError, WeightsError

logger = logging.getLogger(__name__)

FILE_NAME = "checkpoint.pt"
GOOD_FILE_NAME = "checkpoint-good.pt"


def save_checkpoint(run: Path, *, settings: str, trainer: dict[str, Any], progress: dict[str, float]) -> None:
    """Write the latest checkpoint of a run.

    Args:
        run: the run's folder.
        settings: hash of everything that must not change between parts of one run.
        trainer: the trainer's state.
        progress: counters of the loop, such as seconds trained.
    """
    stream = io.BytesIO()
    torch.save({"settings": settings, "trainer": trainer, "progress": progress}, stream)
    write_atomic(run / FILE_NAME, stream.getvalue())


def keep_as_good(run: Path) -> None:
    """Keep the latest checkpoint as the one to roll back to, in place of the one before.

    Both names share the bytes until the latest is replaced, so two checkpoints are the most a run ever holds.
    """
    temporary = run / f".{GOOD_FILE_NAME}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        os.link(run / FILE_NAME, temporary)
    except OSError:  # a file system without hard links
        write_atomic(temporary, (run / FILE_NAME).read_bytes())
    temporary.replace(run / GOOD_FILE_NAME)


def load_checkpoint(run: Path, *, settings: str, good: bool = False) -> dict[str, Any] | None:
    """Return the latest checkpoint of a run, or the last good one, or None if it has none yet.

    Raises:
        ConfigError: it belongs to a run with other settings or data.
        WeightsError: it cannot be read.
    """
    checkpoint = _read(run / GOOD_FILE_NAME) if good else _latest(run)
    if checkpoint is not None and checkpoint.get("settings") != settings:
        raise ConfigError(
            f"--out {run} was begun with other settings, seed or faces; repeat those to resume, or give another path"
        )
    return checkpoint


def settings_of(run: Path) -> str | None:
    """Return the hash of the settings that a run was begun with, or None before its first checkpoint.

    Raises:
        WeightsError: no checkpoint of it can be read.
    """
    checkpoint = _latest(run)
    return None if checkpoint is None else str(checkpoint.get("settings"))


def seen_images_of(run: Path) -> int | None:
    """Return how many images a run's latest checkpoint has seen, or None if it does not say.

    Raises:
        WeightsError: no checkpoint of it can be read.
    """
    checkpoint = _latest(run)
    seen = None if checkpoint is None else checkpoint["progress"].get("seen_images")
    return None if seen is None else int(seen)


def load_trainer_state(run: Path) -> dict[str, Any] | None:
    """Return the trainer's state in the latest checkpoint of a run, whatever its settings, or None if it has none.

    Raises:
        WeightsError: it cannot be read.
    """
    checkpoint = _latest(run)
    return None if checkpoint is None else dict(checkpoint["trainer"])


def _latest(run: Path) -> dict[str, Any] | None:
    """Return the latest checkpoint; the last good one where that is damaged or gone."""
    good = run / GOOD_FILE_NAME
    try:
        latest = _read(run / FILE_NAME)
    except WeightsError as error:
        if not good.exists():
            raise
        logger.warning("%s; taking %s", error, good.name)
        return _read(good)
    if latest is None and good.exists():
        logger.warning("%s is missing; taking %s", run / FILE_NAME, good.name)
        return _read(good)
    return latest


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except MemoryError:
        raise  # nothing is wrong with the file
    except OSError as error:
        raise ConfigError(f"{path} cannot be opened ({error.strerror or error}); see to that and repeat") from None
    except Exception as error:  # noqa: BLE001 (torch's reader raises whatever it meets in a torn file)
        # Torch's own words on a pickle advise to read it unsafely, so its kind alone is told.
        raise WeightsError(
            f"{path} cannot be read (it is damaged: {type(error).__name__}); without another checkpoint, remove "
            f"{path.parent} and train anew"
        ) from None
