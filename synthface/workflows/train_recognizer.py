"""Train a recogniser on a FaceSet, real or synthetic, by one of SFace's three strategies.

classification: a softmax-family loss on the identities. transfer: follow a teacher's embeddings, labels unused.
combined: both; the presets sface-classification, -transfer and -combined have its authors' settings. With --multi-step
a student follows the teacher as it was in the student's own epoch, so a teacher trained with --keep-epochs.

The same seed gives the same weights on one machine; a killed run goes on where it stopped when the command is repeated.
The last epoch is the result, whatever --validate shows. It is RUN/recognizer.safetensors, without the classification
head: its class centres are, in effect, embeddings of the people trained on. With --seeds each seed has a run of its
own, OUT/seed-N, and OUT/seeds.json their means with 95 % intervals. After subcenter-arcface, RUN/dropped.txt lists the
images that look unlike the rest of their class, probably mislabelled ones.
"""

import json
import logging
import math
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from synthface.core.errors import ConfigError, DataError
from synthface.core.run_record import write_json
from synthface.data import FaceSet
from synthface.recognition.training.config import Optimizer, TrainingConfig
from synthface.workflows.compute import Compute, is_first_process, launch_fabric
from synthface.workflows.training_recognizers import one_run
from synthface.workflows.training_recognizers.several_seeds import summarise_seeds, table
from synthface.workflows.training_recognizers.sources import open_training_set, together

EXAMPLES = """
synthface train-recognizer --faces synthetic --loss cosface --out runs/mine
synthface train-recognizer --faces synthetic --loss arcface --loss-options.past_pi easy --out runs/easy
synthface train-recognizer --faces split/train --validate split/holdout --input-size 64 --minutes 15 --out runs/small
synthface train-recognizer --faces synthetic --strategy combined --teacher mobilefacenet-ms1m --out runs/taught
synthface train-recognizer --faces synthetic --config sface-combined --teacher r50.pth --devices 4 --out runs/sface
synthface train-recognizer --faces split/train --validate split/holdout --seeds 0 1 2 --out runs/thrice
synthface train-recognizer --faces synthetic --also split/train --shares 0.8 0.2 --out runs/mixed
synthface train-recognizer --faces many --loss arcface --shard-classes --device cuda --devices 8 --out runs/many
synthface train-recognizer --faces synthetic --loss id-triplet --attributes glasses.csv --out runs/attributes
synthface train-recognizer --faces synthetic --strategy transfer --teacher mobilefacenet-ms1m \
    --init mobilefacenet-ms1m --bits 8 --lr 0.01 --epochs 2 --out runs/eight-bit
synthface train-recognizer --faces split/train --embedding-dim 128 --width 2 --keep-epochs --out runs/large
synthface train-recognizer --faces split/train --strategy combined --teacher runs/large --multi-step --out runs/little
"""

logger = logging.getLogger(__name__)

LossName = Literal[
    "softmax", "modified-softmax", "normface", "l-softmax", "sphereface", "cosface", "arcface", "combined-margin",
    "subcenter-arcface", "magface", "sv-softmax", "mv-softmax", "gb-cosface", "adapted-margin", "center", "contrastive",
    "range", "anisotropy", "id-triplet", "simplex", "triplet-semihard", "triplet-batchhard", "margin-distance-weighted",
]  # fmt: skip

NetworkName = Literal[
    "mobilefacenet", "iresnet-18", "iresnet-34", "iresnet-50", "iresnet-100", "pocketnet-s", "pocketnet-m",
    "patchresnet",
]  # fmt: skip


SFACE_WEIGHT = 39.0625  # 10000 times the mean squared difference of 512 unit numbers, in units of 1 - cos
TRANSFER_WEIGHT = (
    20.0  # 1 alone gives gradients so small at a learning rate of 0.1 that thousands of steps teach little
)


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface train-recognizer``.

    Args:
        faces: what to train on: a FaceSet, or folders, RecordIO or any format that 'synthface convert' reads.
        also: more of the like to mix in; the same name in two of them is two people.
        shares: share of each epoch's images that comes from --faces, then from each of --also; by default every image
            is seen once an epoch.
        out: folder of the run.
        strategy: classification, transfer (needs --teacher) or combined (needs --teacher).
        loss: the classification loss, for classification and combined; docs/methods.md has each with its paper.
        margin: the loss's margin (radians in arcface, cosine in cosface); by default the loss's own.
        scale: the loss's scale s; by default the published one; of fewer than 10,000 identities at most four times
            CosFace's bound.
        loss_options: further options of the loss, one flag each (past_pi, sample_rate ...); docs/methods.md lists them.
        images_per_class: images of each class in a batch, for losses that learn from pairs.
        attributes: table of labelled attributes for id-triplet to learn beside the identities: .csv or JSON Lines, each
            row with the path of an image or an identity, and attributes (glasses, pose ...); empty where unknown.
        teacher: recogniser whose embeddings are followed; --embedding-dim must be its own.
        multi_step: follow the teacher's network of the same epoch; --teacher is then a run made with --keep-epochs.
        whiten_teacher: follow the teacher's embeddings centred and whitened, 0.25 in part and 0.5 fully, by their own
            statistics over the training images; the student then has an embedding space of its own.
        half_teacher: compute the teacher's embeddings in bfloat16: over twice as fast on CPUs that have it.
        distil_weight: weight of 1 - cos(student, teacher); by default 20 in transfer and 39.06 in combined, which is
            SFace's 10000 at 512 numbers.
        validate: FaceSet of other people, measured after every epoch.
        network: the network to train.
        input_size: pixels a side that the network sees, a multiple of 16.
        width: factor on every channel count of a mobilefacenet or patchresnet.
        embedding_dim: numbers in an embedding.
        dropout: share of an iresnet's last map that is left out in training.
        init: recogniser to start from, with its network (in place of --network, --input-size, --width and
            --embedding-dim).
        bits: round weights and activations to so many bits (2 to 8) while training, as QuantFace does; the file then
            holds a byte a weight.
        epochs: passes over the images.
        minutes: train at most this long; the learning rate's schedule ends with it.
        batch: images a step, over all processes together.
        lr: highest learning rate.
        optimizer: sgd with a momentum of 0.9; adamw, whose rates are a hundredth or less of sgd's; or muon, which needs
            fewer images (try --lr 0.05 --weight-decay 0.01).
        milestones: epochs, counted from 0, from which on the learning rate is a tenth of what it was; by default it
            rises over the first twentieth and then falls along a cosine.
        weight_decay: of kernels, matrices and class centres; by muon, of the network's kernels alone.
        augment: how far images are changed.
        seed: of weights, order and augmentation.
        seeds: train once with each of these, into OUT/seed-N.
        keep_epochs: keep the network of every epoch in OUT/epochs, to be a multi-step teacher.
        shard_classes: spread the class centres over the processes, each with its part of them and of their momentum;
            for so many identities that one process cannot hold them. Computes the same to rounding, and
            resumes with any --devices.
        sync_batch_norm: on GPUs, take batch-norm statistics over the images of all processes, not of each.
        compile: compile the network first (a minute); pays on long runs of a mobilefacenet, and slows a patchresnet.
        half: compute the network in bfloat16; weights, losses and optimiser stay in float32. On CPUs it pays for dense
            convolutions (patchresnet), not for depthwise ones.
    """

    faces: Path
    out: Path
    also: list[Path] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    strategy: Literal["classification", "transfer", "combined"] = "classification"
    loss: LossName = "cosface"
    margin: float | None = None
    scale: float | None = None
    loss_options: dict[str, int | float | bool | str | None] | None = None
    images_per_class: int = TrainingConfig.images_per_class
    attributes: Path | None = None
    teacher: str | None = None
    multi_step: bool = False
    whiten_teacher: float | None = None
    half_teacher: bool = False
    distil_weight: float | None = None
    validate: Path | None = None
    network: NetworkName = "mobilefacenet"
    input_size: int = 112
    width: float = 1.0
    embedding_dim: int = 128
    dropout: float = 0.0
    init: str | None = None
    bits: int | None = None
    epochs: int = TrainingConfig.epochs
    minutes: float | None = None
    batch: int = TrainingConfig.batch
    lr: float = TrainingConfig.lr
    optimizer: Optimizer = TrainingConfig.optimizer
    milestones: list[int] = field(default_factory=list)
    weight_decay: float = TrainingConfig.weight_decay
    augment: Literal["none", "flip", "light", "strong"] = "light"
    seed: int = TrainingConfig.seed
    seeds: list[int] = field(default_factory=list)
    keep_epochs: bool = False
    shard_classes: bool = False
    sync_batch_norm: bool = False
    compile: bool = False
    half: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_strategy()
        self._check_finite()
        for name in ("epochs", "batch", "lr"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"--{name} {getattr(self, name)}: give more than 0")
        if self.minutes is not None and self.minutes <= 0:
            raise ConfigError(f"--minutes {self.minutes}: give more than 0")
        if self.weight_decay < 0 or (self.distil_weight or 0) < 0:
            raise ConfigError("--weight-decay and --distil-weight are at least 0")
        if self.shares and (not self.also or len(self.shares) != 1 + len(self.also) or min(self.shares) <= 0):
            raise ConfigError(f"--shares {self.shares}: give a positive number for --faces and for each of --also")
        if self.milestones != sorted(set(self.milestones)) or any(epoch < 1 for epoch in self.milestones):
            raise ConfigError(f"--milestones {self.milestones}: give growing epochs from 1 on")
        if self.bits is not None and (self.half or self.compile):
            raise ConfigError("--bits: rounded arithmetic is trained in float32, without --half and --compile")
        if len(set(self.seeds)) != len(self.seeds) or len(self.seeds) == 1:
            raise ConfigError("--seeds takes two different seeds or more; --seed takes one")

    def _check_finite(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"--{name.replace('_', '-')} {value}: give a finite number")

    def _check_strategy(self) -> None:
        if (self.strategy != "classification") != (self.teacher is not None):
            raise ConfigError(f"--strategy {self.strategy} {'takes no' if self.teacher else 'needs a'} --teacher")
        if self.multi_step and self.teacher is None:
            raise ConfigError("--multi-step needs a --teacher: the folder of a run made with --keep-epochs")
        if self.whiten_teacher is not None and (self.teacher is None or not 0 <= self.whiten_teacher <= 0.5):
            raise ConfigError(f"--whiten-teacher {self.whiten_teacher}: give 0 to 0.5, and a --teacher")
        if self.half_teacher and self.teacher is None:
            raise ConfigError("--half-teacher: give a --teacher")
        of_a_teacher: dict[str, Any] = {"--distil-weight": self.distil_weight}
        of_labels = {"--margin": self.margin, "--scale": self.scale, "--loss-options": self.loss_options or None}
        unused = {"classification": of_a_teacher, "transfer": of_labels}.get(self.strategy, {})
        for flag, value in unused.items():
            if value is not None:
                raise ConfigError(f"{flag}: --strategy {self.strategy} has no use for it; leave it out")
        if self.strategy == "transfer" and (self.attributes is not None or self.shard_classes):
            flag = "--shard-classes" if self.attributes is None else "--attributes"
            raise ConfigError(f"{flag}: --strategy transfer learns from no labels; choose classification or combined")

    @property
    def weight_of_teacher(self) -> float:
        """Weight of 1 - cos(student, teacher)."""
        if self.distil_weight is not None:
            return self.distil_weight
        return TRANSFER_WEIGHT if self.strategy == "transfer" else SFACE_WEIGHT


def run(options: Options) -> int:
    """Train, resume or find the run complete; with several seeds, one after the other."""
    sets = [open_training_set(path, flag="--faces") for path in (options.faces, *options.also)]
    faceset = together(sets)
    others = FaceSet.load(options.validate, flag="--validate") if options.validate else None
    _check_people(options, faceset, {name for faces in sets for name in faces.identities}, others)
    if not options.seeds:
        _train(options, faceset, others)
        return 0
    runs = [replace(options, seed=seed, seeds=[], out=options.out / f"seed-{seed}") for seed in options.seeds]
    for one in runs:
        _train(one, faceset, others)
    if is_first_process():
        summary = summarise_seeds([json.loads((one.out / "run.json").read_text())["last_epoch"] for one in runs])
        write_json(options.out / "seeds.json", {"seeds": options.seeds, "last_epoch": summary})
        sys.stdout.write(table(summary))
    return 0


def _train(options: Options, faceset: FaceSet, others: FaceSet | None) -> None:
    from synthface.recognition.training.run_folder import TrainingFolder

    record, network_config = one_run.make_record(options, faceset, others)
    folder = TrainingFolder(options.out, record)
    if folder.is_complete:
        if options.keep_epochs:
            done = json.loads((options.out / "run.json").read_text(encoding="utf-8"))["last_epoch"]["epoch"] + 1
            one_run.check_kept_epochs(options.out, done)
        logger.info("%s is already complete: nothing to do", options.out)
        return
    fabric = launch_fabric(options)
    # Refuses bad options, so before anything is written.
    trainer = one_run.make_trainer(options, faceset, network_config, fabric)
    if fabric.is_global_zero:
        folder.open()
    fabric.barrier()
    if folder.resume(trainer):
        logger.info("going on after epoch %d", trainer.next_epoch)
        if options.keep_epochs:
            one_run.check_kept_epochs(folder.working, trainer.next_epoch)
    figures = one_run.fit(options, fabric, folder, trainer, others)
    one_run.list_far_images(folder.working, fabric, trainer, faceset)
    if fabric.is_global_zero:
        one_run.publish(folder, trainer, record, figures)
        sys.stdout.write(_summary(options.out, figures))
    fabric.barrier()


def _check_people(options: Options, faceset: FaceSet, names: set[str], others: FaceSet | None) -> None:
    if options.strategy != "transfer" and len(faceset.identities) < 2:
        raise DataError(f"--faces {options.faces} shows {len(faceset.identities)} identities; classification needs 2")
    if len(faceset) < 2:
        raise DataError(f"--faces {options.faces} holds {len(faceset)} images; training needs at least 2")
    if others is not None:
        if not 1 < others.n_identities < len(others):
            raise DataError(
                f"--validate {options.validate} shows {others.n_identities} identities in {len(others)} images; give "
                "two people or more, one of them with several images"
            )
        shared = names & set(others.identities)
        if shared:
            raise DataError(
                f"--validate {options.validate} shares {len(shared)} identities with --faces; give other people "
                "('synthface split' makes such a part)"
            )


def _summary(out: Path, figures: dict[str, Any]) -> str:
    shown = {name: value for name, value in figures.items() if name == "loss" or name.startswith("validation_")}
    return f"{out}/recognizer.safetensors  " + "  ".join(f"{name} {value:.4g}" for name, value in shown.items()) + "\n"
