"""What a student follows: one teacher throughout, or the teacher as it was in the student's own epoch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import ConfigError, WeightsError
from synthface.core.hashing import sha256_json
from synthface.data import FaceSet
from synthface.recognition.catalogue import find_weights
from synthface.recognition.training.whitening import whitened
from synthface.workflows.compute import Compute
from synthface.workflows.embed import embed_faceset

Teacher = Callable[[int], NDArray[np.float32]]
EPOCHS = "epochs"  # folder of a run with the network after every epoch


def epoch_file(run: Path, epoch: int) -> Path:
    """Return where a run keeps its network as it was after an epoch, counted from 0."""
    return run / EPOCHS / f"epoch-{epoch:04d}.safetensors"


def teacher_hash(teacher: str, *, epochs: int, multi_step: bool) -> str:
    """Return the hash of a teacher's weights, or of all those of a multi-step one.

    Raises:
        WeightsError: not found, or not one network for each of the student's epochs.
    """
    if not multi_step:
        return find_weights(teacher, flag="--teacher").sha256
    return sha256_json([find_weights(path).sha256 for path in _stages(teacher, epochs)])


def make_teacher(
    teacher: str,
    faceset: FaceSet,
    *,
    epochs: int,
    multi_step: bool,
    embedding_dim: int,
    compute: Compute,
    whiten: float | None = None,
    half: bool = False,
) -> Teacher:
    """Return the teacher's embeddings of the training images by epoch, each of image and mirror together.

    Args:
        teacher: a recogniser; with multi_step the folder of a run that kept its epochs.
        faceset: what the student sees.
        epochs: of the student.
        multi_step: follow the teacher's network of the same epoch (PocketNet, arXiv 2108.10710).
        embedding_dim: numbers in the student's embedding.
        compute: devices and processes.
        whiten: power of ``whitened``; None follows the embeddings as they are.
        half: compute the teacher in bfloat16.

    Raises:
        WeightsError: see ``teacher_hash``.
        ConfigError: the teacher's embeddings have another size.
    """
    stages = [str(path) for path in _stages(teacher, epochs)] if multi_step else [teacher] * epochs

    def embeddings(epoch: int) -> NDArray[np.float32]:
        # Computed once and cached: what follows the same network again reads a file.
        vectors = embed_faceset(faceset, stages[epoch], compute=compute, flip=True, half=half).vectors
        if vectors.shape[1] != embedding_dim:
            raise ConfigError(
                f"--teacher {teacher} gives {vectors.shape[1]} numbers and the student {embedding_dim}; "
                f"give --embedding-dim {vectors.shape[1]}, or with --init another of the two"
            )
        return vectors if whiten is None else whitened(vectors, whiten)

    first = embeddings(0)  # so that what does not fit is refused before anything is written
    return embeddings if multi_step else lambda epoch: first


def _stages(teacher: str, epochs: int) -> list[Path]:
    stages = [epoch_file(Path(teacher), epoch) for epoch in range(epochs)]
    missing = [path for path in stages if not path.is_file()]
    if missing:
        raise WeightsError(
            f"--multi-step: {missing[0]} is missing ({len(missing)} of {epochs} epochs); train the teacher with "
            f"--keep-epochs and at least --epochs {epochs}"
        )
    return stages
