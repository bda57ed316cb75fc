"""What a run with --init begins from: another run's whole training, a generator alone, or an official pickle."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gan.config import TrainingConfig
    from gan.training.trainer import GanTrainer
    from synthface.data import FaceSet


def is_under_way(run: Path) -> bool:
    """Say whether a run has a checkpoint to go on from, so that it needs nothing from where it began."""
    from gan.training.checkpoint import FILE_NAME, GOOD_FILE_NAME

    return any((run / name).exists() for name in (FILE_NAME, GOOD_FILE_NAME))


def begin_from(path: Path, trainer: "GanTrainer", faces: "FaceSet") -> None:
    """Take over a training, a generator, or the networks of an official pickle.

    Raises:
        ConfigError: its networks have other sizes or settings.
        WeightsError: it is missing or damaged.
    """
    from gan.training.checkpoint import FILE_NAME, load_trainer_state
    from gan.training.transfer import begin_from_generator, begin_from_networks, begin_from_training
    from gan.weights import load_generator

    if is_official(path):
        from gan.official import import_networks

        official = import_networks(path)
        begin_from_networks(trainer, G_ema=official.G_ema, G=official.G, D=official.D)
        return
    G, file = load_generator(path), file_to_begin_from(path, faces)
    state = load_trainer_state(path) if file.name == FILE_NAME else None
    if state is not None:
        begin_from_training(trainer, state, G.config, same_recognizer=_same_recognizer(path, trainer.config))
    else:
        begin_from_generator(trainer, G, with_classes=_saw(path, faces))


def is_official(path: Path) -> bool:
    """Say whether this is to be read as a pickle of the official code; our own files are none."""
    return path.suffix == ".pkl"


def file_to_begin_from(path: Path, faces: "FaceSet") -> Path:
    """Return the checkpoint of a run on these faces; the generator of other runs; a file itself.

    Raises:
        WeightsError: there is none.
    """
    from gan.training.checkpoint import FILE_NAME
    from gan.weights import generator_file

    if is_official(path) and path.is_file():
        return path
    checkpoint = path / FILE_NAME
    return checkpoint if checkpoint.is_file() and _saw(path, faces) else generator_file(path)


def _saw(path: Path, faces: "FaceSet") -> bool:
    """Say whether a generator was trained on these faces, so that its classes are theirs."""
    from gan.weights import generator_file, read_header

    info = read_header(generator_file(path))["info"]
    return bool(info.get("trained_on_manifest_sha256") == faces.manifest_sha256)


def _same_recognizer(run: Path, training: "TrainingConfig") -> bool:
    """Say whether the identity player of a run saw with the recogniser that this one's sees with."""
    from synthface.workflows.gan_training.frozen_networks import IDENTITY, frozen_inputs

    try:
        inputs = json.loads((run / "run.json").read_text(encoding="utf-8"))["inputs"]
        return IDENTITY in inputs and inputs[IDENTITY] == frozen_inputs(training).get(IDENTITY)
    except (OSError, ValueError, LookupError, TypeError):  # a run without a legible record: its centres begin anew
        return False
