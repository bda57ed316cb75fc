"""Training checkpoints: one file, replaced atomically, read without running anything in it."""

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from synthface.core.atomic import write_atomic
from synthface.core.errors import ConfigError, WeightsError

FILE_NAME = "checkpoint.pt"


def save_checkpoint(run: Path, *, settings: str, trainer: dict[str, Any], progress: dict[str, float]) -> None:
    """Write the checkpoint of a run.

    Args:
        run: the run's folder.
        settings: hash of everything that must not change between parts of one run.
        trainer: the trainer's state.
        progress: counters of the loop, such as seconds trained.
    """
    stream = io.BytesIO()
    torch.save({"settings": settings, "trainer": trainer, "progress": progress}, stream)
    write_atomic(run / FILE_NAME, stream.getvalue())


def load_checkpoint(run: Path, *, settings: str) -> dict[str, Any] | None:
    """Return the checkpoint of a run, or None if it has none yet.

    Raises:
        ConfigError: it belongs to a run with other settings or data.
        WeightsError: it cannot be read.
    """
    path = run / FILE_NAME
    if not path.exists():
        return None
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"{path} cannot be read ({str(error).splitlines()[0]}); remove {run} and train anew"
        ) from None
    if checkpoint.get("settings") != settings:
        raise ConfigError(
            f"--out {run} was begun with other settings, seed or faces; repeat those to resume, or give another path"
        )
    return dict(checkpoint)
