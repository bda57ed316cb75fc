"""One training from its options to its published folder."""

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthface.core.atomic import write_atomic
from synthface.core.errors import ConfigError, DataError, DivergedError
from synthface.core.hashing import sha256_file
from synthface.core.run_record import run_record, to_json
from synthface.data import FaceSet
from synthface.recognition.catalogue import find_weights
from synthface.recognition.network_config import NetworkConfig
from synthface.recognition.training.config import TrainingConfig
from synthface.workflows.progress import decode_bar, track
from synthface.workflows.training_recognizers.attributes import Attributes, read_attributes
from synthface.workflows.training_recognizers.sources import parts_of
from synthface.workflows.training_recognizers.starting_point import flags_of, make_network, network_config
from synthface.workflows.training_recognizers.teachers import epoch_file, make_teacher, teacher_hash

if TYPE_CHECKING:
    from synthface.workflows.train_recognizer import Options

logger = logging.getLogger(__name__)

_NOT_IN_RECORD = {
    "faces", "also", "out", "teacher", "validate", "attributes", "init", "seed", "seeds", "keep_epochs",
    "device", "devices", "nodes", "compile",
}  # fmt: skip
# Later options: at their defaults a record is what it was before them.
_WHERE_USED = {
    "shard_classes": False, "sync_batch_norm": False, "whiten_teacher": None, "half": False, "half_teacher": False,
    "optimizer": "sgd", "bits": None,
}  # fmt: skip


def make_record(options: "Options", faceset: FaceSet, others: FaceSet | None) -> tuple[dict[str, Any], NetworkConfig]:
    """Return the run record, and the network's config; without --init nothing heavy is imported for it."""
    network = network_config(options)
    inputs = {"faces": faceset.manifest_sha256}
    if options.teacher is not None:
        inputs["teacher"] = teacher_hash(options.teacher, epochs=options.epochs, multi_step=options.multi_step)
    if options.init is not None:
        inputs["init"] = find_weights(options.init, flag="--init").sha256
    if others is not None:
        inputs["validate"] = others.manifest_sha256
    if options.attributes is not None:
        if not options.attributes.is_file():
            raise DataError(f"--attributes {options.attributes} does not exist or is no file")
        inputs["attributes"] = sha256_file(options.attributes)
    # Hashes name the inputs: a path would say nothing elsewhere, and the record travels inside the weights.
    unused = {key for key, default in _WHERE_USED.items() if getattr(options, key) == default}
    config = {key: value for key, value in to_json(options).items() if key not in _NOT_IN_RECORD | unused}
    if options.init is not None:
        config |= flags_of(network)  # not the flags' defaults
    return run_record("train-recognizer", config, seed=options.seed, inputs=inputs), network


def _given(**values: float | None) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def make_trainer(options: "Options", faceset: FaceSet, shape: NetworkConfig, fabric: Any) -> Any:
    """Return the ``Trainer``; what cannot be trained is refused here, before anything is written."""
    from synthface.data.image_cache import image_cache
    from synthface.recognition.batch_statistics import with_shared_batch_norms
    from synthface.recognition.training.student import Student
    from synthface.recognition.training.trainer import Trainer, TrainingData

    known = None if options.attributes is None else _attributes(options, options.attributes, faceset)
    dim = shape.embedding_dim
    head = None if options.strategy == "transfer" else _make_head(options, faceset, fabric, known, embedding_dim=dim)
    network = make_network(options, shape)
    if options.sync_batch_norm:
        network = with_shared_batch_norms(network, device_type=fabric.device.type)
    teacher = None
    if options.teacher is not None:
        teacher = make_teacher(
            options.teacher,
            faceset,
            epochs=options.epochs,
            multi_step=options.multi_step,
            whiten=options.whiten_teacher,
            half=options.half_teacher,
            embedding_dim=dim,
            compute=options,
        )
    if fabric.is_global_zero:
        image_cache(faceset, shape.side, shape.side, through=decode_bar)
    fabric.barrier()
    data = TrainingData(
        image_cache(faceset, shape.side, shape.side),
        faceset.labels,
        teacher,
        parts_of(faceset) if options.shares else None,
        None if known is None else known.labels,
    )
    config = TrainingConfig(
        epochs=options.epochs,
        batch=options.batch,
        lr=options.lr,
        optimizer=options.optimizer,
        weight_decay=options.weight_decay,
        images_per_class=options.images_per_class,
        augment=options.augment,
        milestones=tuple(options.milestones),
        shares=tuple(options.shares),
        seed=options.seed,
        minutes=options.minutes,
    )
    student = Student(network, head, options.weight_of_teacher, half=options.half)
    return Trainer(fabric, student, data, config, compiled=options.compile)


def _attributes(options: "Options", path: Path, faceset: FaceSet) -> Attributes:
    from synthface.recognition.losses import LOSSES

    if not LOSSES[options.loss].takes_attributes:
        able = ", ".join(name for name, loss in LOSSES.items() if loss.takes_attributes)
        raise ConfigError(f"--attributes: --loss {options.loss} does not learn them; give --loss {able}")
    return read_attributes(path, faceset)


def _make_head(
    options: "Options", faceset: FaceSet, fabric: Any, known: Attributes | None, *, embedding_dim: int
) -> Any:
    import numpy as np

    from synthface.core.seeds import derive_seed
    from synthface.recognition.losses import LOSSES
    from synthface.recognition.losses.shard import Shard

    loss = LOSSES[options.loss]
    chosen = loss.checked((options.loss_options or {}) | _given(margin=options.margin, scale=options.scale))
    if loss.takes_class_counts:
        chosen["class_counts"] = np.bincount(faceset.labels).tolist()
    if known is not None:
        chosen["attribute_sizes"] = [len(values) for values in known.values]
    if options.shard_classes:
        if not loss.can_spread:
            able = ", ".join(name for name, other in LOSSES.items() if other.can_spread)
            raise ConfigError(f"--shard-classes: --loss {loss.name} cannot be spread; these can: {able}")
        chosen["shard"] = Shard(fabric.global_rank, fabric.world_size)
    return loss(len(faceset.identities), embedding_dim, **chosen, seed=derive_seed(options.seed, "head"))


def fit(options: "Options", fabric: Any, folder: Any, trainer: Any, others: FaceSet | None) -> dict[str, Any]:
    """Run the epochs that are left; return the last one's figures."""
    from synthface.recognition.training.trainer import epoch_figures

    metrics = folder.metrics(trainer.next_epoch) if fabric.is_global_zero else []
    figures = metrics[-1] if metrics else {}
    while not trainer.finished:
        epoch = trainer.next_epoch
        bar = track(
            trainer.run_epoch(),
            description=f"epoch {epoch + 1} of {options.epochs}",
            total=trainer.steps_per_epoch,
            unit="step",
            figures=lambda step: {"loss": step.loss, "lr": step.lr},
        )
        reached = epoch_figures(list(bar))
        _check_finite(reached, fabric, epoch)
        if fabric.is_global_zero:
            figures = {"epoch": epoch, **reached, **_validation(trainer, others)}
            folder.append_metrics(figures)
            if options.keep_epochs:
                _keep(folder, trainer, epoch)
        folder.save(fabric, trainer)
        if fabric.is_global_zero:  # an epoch that was told of is not run again
            _tell(figures, trainer)
        fabric.barrier()
    return figures


def _tell(figures: dict[str, Any], trainer: Any) -> None:
    """Log an epoch's figures and what is wrong with its embeddings; people count epochs from 1, the files from 0."""
    from synthface.recognition.embedding_faults import embedding_faults

    shown = figures | {"epoch": figures["epoch"] + 1}
    logger.info("  %s", "  ".join(f"{name} {value:.4g}" for name, value in shown.items()))
    for fault in embedding_faults(trainer.student.network, trainer.student.head, trainer.pixels):
        logger.warning("after epoch %d %s", shown["epoch"], fault)


def _check_finite(reached: dict[str, float], fabric: Any, epoch: int) -> None:
    """Raise in every process if the mean loss of any is not finite; the epoch is then neither saved nor recorded."""
    import torch

    finite = torch.tensor(float(math.isfinite(reached.get("loss", 0.0))), device=fabric.device)
    if fabric.all_reduce(finite, reduce_op="sum") < fabric.world_size:
        raise DivergedError(
            f"the loss is no number any more in epoch {epoch + 1}; give a smaller --lr and another --out"
        )


def _keep(folder: Any, trainer: Any, epoch: int) -> None:
    from synthface.recognition.weights import write_network

    path = epoch_file(folder.working, epoch)
    path.parent.mkdir(exist_ok=True)
    write_network(path, trainer.student.network, about={"made_by": folder.record, "epoch": epoch})


def check_kept_epochs(run: Path, done: int) -> None:
    """Raise if --keep-epochs comes too late.

    Args:
        run: folder of the run.
        done: epochs that are behind it.

    Raises:
        ConfigError: the networks of some of them were not kept.
    """
    missing = sum(not epoch_file(run, epoch).is_file() for epoch in range(done))
    if missing:
        raise ConfigError(
            f"--keep-epochs: {run} has {done} epochs and {missing} of their networks were not kept; leave it out, or "
            "give another --out"
        )


def _validation(trainer: Any, others: FaceSet | None) -> dict[str, float]:
    if others is None:
        return {}
    from synthface.data.image_cache import image_cache
    from synthface.recognition.training.validation import all_pairs_verification

    network = trainer.student.network
    side = network.config.side
    figures = all_pairs_verification(network, image_cache(others, side, side), others.labels)
    return {f"validation_{name}": value for name, value in figures.items()}


def list_far_images(folder: Path, fabric: Any, trainer: Any, faceset: FaceSet) -> None:
    """Write ``dropped.txt`` where the loss has sub-centres; every process calls this."""
    from synthface.recognition.training.purification import images_far_from_their_class

    paths = images_far_from_their_class(
        trainer.student,
        faceset,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        through=lambda blocks: track(blocks, description="comparing with sub-centres", unit="block"),
    )
    if paths is not None and fabric.is_global_zero:
        write_atomic(folder / "dropped.txt", "".join(f"{path}\n" for path in paths).encode())
        logger.info("%d of %d images lie far from their class: dropped.txt", len(paths), len(faceset))


def publish(folder: Any, trainer: Any, record: dict[str, Any], figures: dict[str, Any]) -> None:
    """Write the network without its head, and rename the folder into place."""
    from synthface.recognition.training.run_folder import WEIGHTS
    from synthface.recognition.weights import write_network

    about = {"made_by": record, "note": _note(record)}
    write_network(folder.working / WEIGHTS, trainer.student.network, about=about)
    folder.finish({"last_epoch": figures})


def _note(record: dict[str, Any]) -> str:
    if record["config"]["strategy"] != "transfer":
        return "The classification head is left out: its class centres are, in effect, embeddings of real people."
    if "init" in record["inputs"]:
        return "This training used no identity labels; it began from other weights, which may have."
    return "Trained without identity labels."
