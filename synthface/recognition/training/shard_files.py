"""Checkpoints of class centres that are spread over processes: each writes its part, and any number reads them."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from synthface.core.errors import DataError
from synthface.recognition.losses.centre_table import CentreTable
from synthface.recognition.losses.shard import Shard

_NAME = re.compile(r"\.?centres-\d+-\d+-of-\d+\.safetensors(\.tmp)?")
Tables = Mapping[str, CentreTable]


def shard_of(tables: Tables) -> Shard:
    """Return the part of the classes that this process has; all of them where nothing is spread."""
    return next((table.shard for table in tables.values() if table.shard is not None), Shard())


def save_shards(folder: Path, epoch: int, tables: Tables) -> None:
    """Write this process's part of the tables.

    Files carry their epoch, so those of the last checkpoint stay until the next one is complete.
    """
    shard = shard_of(tables)
    path = _file(folder, epoch, shard)
    # Straight to the file: a part may be gigabytes, of which no second copy fits into memory.
    temporary = path.with_name(f".{path.name}.tmp")
    tensors = {f"{name}.{key}": value for name, table in tables.items() for key, value in table.named_buffers()}
    try:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, temporary)
    except SafetensorError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{path} cannot be written ({error}); make room and run the same command again") from None
    temporary.replace(path)


def load_shards(folder: Path, epoch: int, count: int, tables: Tables) -> None:
    """Fill this process's part of the tables from the files of ``count`` processes, reading only what it needs.

    Raises:
        DataError: a file is missing or damaged.
    """
    for name, table in tables.items():
        for rank in range(count):
            shard = Shard(rank, count)
            theirs = shard.rows(table.n_classes)
            first, last = max(theirs.start, table.rows.start), min(theirs.stop, table.rows.stop)
            if first >= last:
                continue
            path = _file(folder, epoch, shard)
            try:
                with safe_open(path, framework="pt") as file, torch.no_grad():
                    table.step.copy_(file.get_tensor(f"{name}.step"))
                    for key, buffer in (("weight", table.weight), ("momentum", table.momentum)):
                        part = file.get_slice(f"{name}.{key}")[first - theirs.start : last - theirs.start]
                        buffer[first - table.rows.start : last - table.rows.start] = part.to(buffer.device)
            except (OSError, SafetensorError, RuntimeError) as error:
                reason = " ".join(str(error).split())[:80]
                raise DataError(f"{path} is missing or damaged; remove {folder} to start anew ({reason})") from None


def remove_other_shards(folder: Path, epoch: int, count: int) -> None:
    """Remove all parts but those of a checkpoint (one process does, once that checkpoint is complete)."""
    kept = {_file(folder, epoch, Shard(rank, count)).name for rank in range(count)}
    _remove(folder, kept)


def remove_shards(folder: Path) -> None:
    """Remove all parts: class centres are, in effect, embeddings of the training people."""
    _remove(folder, set())


def _remove(folder: Path, kept: set[str]) -> None:
    for path in folder.iterdir():
        if _NAME.fullmatch(path.name) and path.name not in kept:
            path.unlink(missing_ok=True)


def _file(folder: Path, epoch: int, shard: Shard) -> Path:
    return folder / f"centres-{epoch:06d}-{shard.rank:05d}-of-{shard.count:05d}.safetensors"
