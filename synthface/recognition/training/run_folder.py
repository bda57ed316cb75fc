"""The folder of a training run: ``RUN.partial`` while it lasts, with a checkpoint; ``RUN`` when it is done."""

import json
from pathlib import Path
from typing import Any

import torch

from synthface.core.atomic import atomic_file, partial_path, write_atomic
from synthface.core.errors import ConfigError
from synthface.core.hashing import canonical_json, sha256_json
from synthface.core.journal import Journal
from synthface.core.run_record import to_json, write_json
from synthface.recognition.training.shard_files import load_shards, remove_other_shards, remove_shards, save_shards

WEIGHTS = "recognizer.safetensors"
_CHECKPOINT = "checkpoint.pt"
_METRICS = "metrics.jsonl"


class TrainingFolder:
    """Keeps what a training needs to go on after it was killed, and only what it may publish once it is done.

    Args:
        out: the run's folder.
        record: what makes the run; two runs with the same (but for library versions) are one.

    Raises:
        ConfigError: OUT holds, or OUT.partial began, another training.
    """

    def __init__(self, out: Path, record: dict[str, Any]) -> None:
        self.out = out
        self.record = record
        self.working = partial_path(out)
        self._key = _settings_key(record)
        self.is_complete = out.exists()
        if self.is_complete and _read_key(out / "run.json") != self._key:
            raise ConfigError(f"--out {out} already exists and holds something else; give another path or remove it")
        begun = self.working / "run.json"
        if not self.is_complete and begun.exists() and _read_key(begun) != self._key:
            raise ConfigError(
                f"{self.working} was begun with other settings; repeat those to go on, or remove it to start anew"
            )

    def open(self) -> None:
        """Make the working folder (one process does)."""
        self.working.mkdir(parents=True, exist_ok=True)
        if not (self.working / "run.json").exists():
            write_json(self.working / "run.json", {"made_by": self.record})

    def load_checkpoint(self) -> dict[str, Any] | None:
        """Return the last checkpoint, or None before the first."""
        path = self.working / _CHECKPOINT
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True) if path.exists() else None

    def resume(self, trainer: Any) -> bool:
        """Bring a trainer to the last checkpoint, whatever the number of processes that wrote it; say if there is one.

        Raises:
            DataError: a process's part of the class centres is missing or damaged.
        """
        state = self.load_checkpoint()
        if state is None:
            return False
        trainer.load_state_dict(state)
        if trainer.shards:
            load_shards(self.working, trainer.next_epoch, int(state["shards"]), trainer.shards)
        return True

    def save(self, fabric: Any, trainer: Any) -> None:
        """Replace the checkpoint as a whole; every process calls this."""
        if trainer.shards:
            self.working.mkdir(parents=True, exist_ok=True)
            save_shards(self.working, trainer.next_epoch, trainer.shards)
            fabric.barrier()  # the checkpoint counts on every part
        if fabric.is_global_zero:
            self.save_checkpoint(trainer.state_dict())
            if trainer.shards:
                remove_other_shards(self.working, trainer.next_epoch, fabric.world_size)

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint file."""
        with atomic_file(self.working / _CHECKPOINT) as stream:  # a table of class centres has no room for a second one
            torch.save(state, stream)

    def metrics(self, next_epoch: int) -> list[dict[str, Any]]:
        """Return the epochs' figures so far, cut to those that the checkpoint has behind it."""
        path = self.working / _METRICS
        with Journal(path) as journal:
            kept = [line for line in journal.records if line["epoch"] < next_epoch]
        write_atomic(path, "".join(canonical_json(line) + "\n" for line in kept).encode())
        return kept

    def append_metrics(self, figures: dict[str, Any]) -> None:
        """Add an epoch's figures."""
        with Journal(self.working / _METRICS) as journal:
            journal.append(figures)

    def finish(self, results: dict[str, Any]) -> None:
        """Write the final record and rename the folder into place.

        The checkpoint goes: its class centres are, in effect, embeddings of the training people.
        """
        write_json(self.working / "run.json", {"made_by": self.record, **results})
        (self.working / _CHECKPOINT).unlink(missing_ok=True)
        remove_shards(self.working)
        self.working.rename(self.out)


def _settings_key(record: dict[str, Any]) -> str:
    return sha256_json(to_json({key: value for key, value in record.items() if key != "versions"}))


def _read_key(path: Path) -> str | None:
    try:
        return _settings_key(json.loads(path.read_text(encoding="utf-8"))["made_by"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
