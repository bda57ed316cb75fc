"""Train a recogniser on a FaceSet, real or synthetic, by one of SFace's three strategies.

classification: a softmax-family loss on the identities. transfer: follow a teacher's embeddings, labels unused.
combined: both. The same seed gives the same weights on one machine; a killed run goes on where it stopped when the
command is repeated. The result is RUN/recognizer.safetensors, without the classification head: its class centres are,
in effect, embeddings of the people trained on. After subcenter-arcface, RUN/dropped.txt lists the images that look
unlike the rest of their class, probably mislabelled ones.
"""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from synthface.core.atomic import write_atomic
from synthface.core.errors import ConfigError, DataError
from synthface.core.run_record import run_record, to_json
from synthface.data import FaceSet
from synthface.workflows.compute import Compute, launch_fabric
from synthface.workflows.embed import embed_faceset
from synthface.workflows.progress import track

EXAMPLES = """
synthface train-recognizer --faces synthetic --loss cosface --out runs/mine
synthface train-recognizer --faces synthetic --loss arcface --loss-options.past_pi easy --out runs/easy
synthface train-recognizer --faces split/train --validate split/holdout --input-size 64 --minutes 15 --out runs/small
synthface train-recognizer --faces synthetic --strategy combined --teacher mobilefacenet-ms1m --out runs/taught
"""

logger = logging.getLogger(__name__)

LossName = Literal[
    "softmax", "modified-softmax", "normface", "l-softmax", "sphereface", "cosface", "arcface", "combined-margin",
    "subcenter-arcface", "magface", "sv-softmax", "mv-softmax", "gb-cosface", "adapted-margin", "center", "contrastive",
    "range", "anisotropy", "id-triplet", "simplex", "triplet-semihard", "triplet-batchhard", "margin-distance-weighted",
]  # fmt: skip

_NOT_IN_RECORD = {"faces", "out", "teacher", "validate", "seed", "device", "devices", "nodes", "compile"}
NetworkName = Literal[
    "mobilefacenet", "iresnet-18", "iresnet-34", "iresnet-50", "iresnet-100", "pocketnet-s", "pocketnet-m"
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface train-recognizer``.

    Args:
        faces: FaceSet to train on.
        out: folder of the run.
        strategy: classification, transfer (needs --teacher) or combined (needs --teacher).
        loss: loss of classification and combined.
        margin: the loss's margin (radians in arcface, cosine in cosface); by default the loss's own.
        scale: the loss's scale s; by default the published one, at most four times CosFace's bound for the identities.
        loss_options: further options of the loss, one flag each (past_pi, sample_rate ...); docs/methods.md lists them.
        images_per_class: images of each class in a batch, for losses that learn from pairs.
        teacher: recogniser whose embeddings are followed; --embedding-dim must be its own.
        distil_weight: weight of 1 - cos(student, teacher) in combined; 39.06 is SFace's 10000 at 512 numbers.
        validate: FaceSet of other people, measured after every epoch.
        network: the network to train.
        input_size: pixels a side that the network sees, a multiple of 16.
        width: factor on every channel count of a mobilefacenet.
        embedding_dim: numbers in an embedding.
        epochs: passes over the images.
        minutes: train at most this long; the learning rate's schedule ends with it.
        batch: images a step, over all processes together.
        lr: highest learning rate.
        weight_decay: of kernels, matrices and class centres.
        augment: how far images are changed.
        seed: of weights, order and augmentation.
        compile: compile the network first (a minute; pays on long runs).
    """

    faces: Path
    out: Path
    strategy: Literal["classification", "transfer", "combined"] = "classification"
    loss: LossName = "cosface"
    margin: float | None = None
    scale: float | None = None
    loss_options: dict[str, int | float | bool | str | None] | None = None
    images_per_class: int = 4
    teacher: str | None = None
    distil_weight: float = 39.06
    validate: Path | None = None
    network: NetworkName = "mobilefacenet"
    input_size: int = 112
    width: float = 1.0
    embedding_dim: int = 128
    epochs: int = 40
    minutes: float | None = None
    batch: int = 128
    lr: float = 0.1
    weight_decay: float = 5e-4
    augment: Literal["none", "flip", "light", "strong"] = "light"
    seed: int = 0
    compile: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.strategy != "classification") != (self.teacher is not None):
            raise ConfigError(f"--strategy {self.strategy} {'takes no' if self.teacher else 'needs a'} --teacher")
        for name in ("epochs", "batch", "lr"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"--{name} {getattr(self, name)}: give more than 0")
        if self.minutes is not None and self.minutes <= 0:
            raise ConfigError(f"--minutes {self.minutes}: give more than 0")
        if self.weight_decay < 0 or self.distil_weight < 0:
            raise ConfigError("--weight-decay and --distil-weight are at least 0")


def run(options: Options) -> int:
    """Train, resume or find the run complete."""
    faceset = FaceSet.load(options.faces, flag="--faces")
    others = FaceSet.load(options.validate, flag="--validate") if options.validate else None
    _check_people(options, faceset, others)
    from synthface.recognition.training_folder import TrainingFolder

    record, network_config = _record(options, faceset, others)
    folder = TrainingFolder(options.out, record)
    if folder.is_complete:
        logger.info("%s is already complete: nothing to do", options.out)
        return 0
    fabric = launch_fabric(options)
    trainer = _trainer(options, faceset, network_config, fabric)  # refuses bad options, so before anything is written
    if fabric.is_global_zero:
        folder.open()
    fabric.barrier()
    checkpoint = folder.load_checkpoint()
    if checkpoint is not None:
        trainer.load_state_dict(checkpoint)
        logger.info("going on after epoch %d", trainer.next_epoch)
    figures = _fit(options, fabric, folder, trainer, others)
    if fabric.is_global_zero:
        _list_far_images(folder.working, trainer.student, faceset)
        _publish(folder, trainer, record, figures)
        sys.stdout.write(_summary(options.out, figures))
    fabric.barrier()
    return 0


def _check_people(options: Options, faceset: FaceSet, others: FaceSet | None) -> None:
    if options.strategy != "transfer" and len(faceset.identities) < 2:
        raise DataError(f"--faces {options.faces} shows {len(faceset.identities)} identities; classification needs 2")
    if len(faceset) < 2:
        raise DataError(f"--faces {options.faces} holds {len(faceset)} images; training needs at least 2")
    if others is not None:
        shared = set(faceset.identities) & set(others.identities)
        if shared:
            raise DataError(
                f"--validate {options.validate} shares {len(shared)} identities with --faces; give other people "
                "('synthface split' makes such a part)"
            )


def _record(options: Options, faceset: FaceSet, others: FaceSet | None) -> tuple[dict[str, Any], Any]:
    """Return the run record, and the network's config (checked before anything heavy is imported)."""
    from synthface.recognition.catalogue import find_weights
    from synthface.recognition.network_config import ARCHITECTURES, NetworkConfig

    network = NetworkConfig(
        architecture={name.lower(): name for name in ARCHITECTURES}[options.network],
        input_size=(options.input_size, options.input_size),
        embedding_dim=options.embedding_dim,
        width=options.width,
    )
    inputs = {"faces": faceset.manifest_sha256}
    if options.teacher is not None:
        inputs["teacher"] = find_weights(options.teacher).sha256
    if others is not None:
        inputs["validate"] = others.manifest_sha256
    # Hashes name the inputs: a path would say nothing elsewhere, and the record travels inside the weights.
    config = {key: value for key, value in to_json(options).items() if key not in _NOT_IN_RECORD}
    return run_record("train-recognizer", config, seed=options.seed, inputs=inputs), network


def _given(**values: float | None) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _trainer(options: Options, faceset: FaceSet, network_config: Any, fabric: Any) -> Any:
    import numpy as np

    from synthface.core.seeds import derive_seed
    from synthface.data.image_cache import image_cache
    from synthface.recognition.losses import LOSSES
    from synthface.recognition.networks import build_network
    from synthface.recognition.training import Student, Trainer, TrainingConfig, TrainingData

    teacher = None
    if options.teacher is not None:
        teacher = embed_faceset(faceset, options.teacher, compute=options, flip=True).vectors
        if teacher.shape[1] != options.embedding_dim:
            raise ConfigError(
                f"--embedding-dim {options.embedding_dim}: the teacher's embeddings have {teacher.shape[1]} numbers"
            )
    network = build_network(network_config, seed=derive_seed(options.seed, "network"))
    head = None
    if options.strategy != "transfer":
        loss = LOSSES[options.loss]
        chosen = {**(options.loss_options or {}), **_given(margin=options.margin, scale=options.scale)}
        if loss.takes_class_counts:
            chosen["class_counts"] = np.bincount(faceset.labels).tolist()
        seed = derive_seed(options.seed, "head")
        head = loss(len(faceset.identities), options.embedding_dim, **chosen, seed=seed)
    if fabric.is_global_zero:
        image_cache(faceset, network_config.side, network_config.side)
    fabric.barrier()
    data = TrainingData(image_cache(faceset, network_config.side, network_config.side), faceset.labels, teacher)
    config = TrainingConfig(
        epochs=options.epochs,
        batch=options.batch,
        lr=options.lr,
        weight_decay=options.weight_decay,
        images_per_class=options.images_per_class,
        augment=options.augment,
        distil_weight=options.distil_weight,
        seed=options.seed,
        minutes=options.minutes,
    )
    return Trainer(fabric, Student(network, head, options.distil_weight), data, config, compiled=options.compile)


def _fit(options: Options, fabric: Any, folder: Any, trainer: Any, others: FaceSet | None) -> dict[str, Any]:
    """Run the epochs that are left; return the last one's figures."""
    from synthface.recognition.training import epoch_figures

    metrics = folder.metrics(trainer.next_epoch) if fabric.is_global_zero else []
    figures = metrics[-1] if metrics else {}
    while not trainer.finished:
        epoch = trainer.next_epoch
        bar = track(
            trainer.run_epoch(),
            description=f"epoch {epoch + 1} of {options.epochs}",
            total=trainer.steps_per_epoch,
            unit="step",
        )
        steps = list(bar)
        if fabric.is_global_zero:
            figures = {"epoch": epoch, **epoch_figures(steps), **_validation(trainer, others)}
            folder.append_metrics(figures)
            folder.save_checkpoint(trainer.state_dict())
            logger.info("  %s", "  ".join(f"{name} {value:.4g}" for name, value in figures.items()))
        fabric.barrier()
    return figures


def _validation(trainer: Any, others: FaceSet | None) -> dict[str, float]:
    if others is None:
        return {}
    from synthface.data.image_cache import image_cache
    from synthface.recognition.validation import all_pairs_verification

    network = trainer.student.network
    side = network.config.side
    figures = all_pairs_verification(network, image_cache(others, side, side), others.labels)
    return {f"validation_{name}": value for name, value in figures.items()}


def _list_far_images(folder: Path, student: Any, faceset: FaceSet) -> None:
    from synthface.recognition.purification import images_far_from_their_class

    paths = images_far_from_their_class(student, faceset)
    if paths is not None:
        write_atomic(folder / "dropped.txt", "".join(f"{path}\n" for path in paths).encode())
        logger.info("%d of %d images lie far from their class: dropped.txt", len(paths), len(faceset))


def _publish(folder: Any, trainer: Any, record: dict[str, Any], figures: dict[str, Any]) -> None:
    from synthface.recognition.training_folder import WEIGHTS
    from synthface.recognition.weights import write_network

    about = {
        "made_by": record,
        "note": "The classification head is left out: its class centres are, in effect, embeddings of real people."
        if record["config"]["strategy"] != "transfer"
        else "Trained without identity labels.",
    }
    write_network(folder.working / WEIGHTS, trainer.student.network, about=about)
    folder.finish({"last_epoch": figures})


def _summary(out: Path, figures: dict[str, Any]) -> str:
    shown = {name: value for name, value in figures.items() if name == "loss" or name.startswith("validation_")}
    return f"{out}/recognizer.safetensors  " + "  ".join(f"{name} {value:.4g}" for name, value in shown.items()) + "\n"
