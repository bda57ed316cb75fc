"""Training a recogniser: classification, transfer from a teacher's embeddings, or both (the strategies of SFace)."""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from synthface.core.errors import ConfigError
from synthface.recognition.losses.centre_table import CentreTable
from synthface.recognition.training.augmentation import PRESETS, EpochAugmentation
from synthface.recognition.training.batches import Batches, MixedBatches, PairBatches, ShuffledBatches
from synthface.recognition.training.clipping import clip_gradients
from synthface.recognition.training.config import TrainingConfig
from synthface.recognition.training.muon import Muon
from synthface.recognition.training.seeded_masks import draws_masks, seeded_masks
from synthface.recognition.training.shard_files import shard_of
from synthface.recognition.training.student import Student

logger = logging.getLogger(__name__)

_MAX_GRADIENT_NORM = 5.0  # SFace's; there it bounds the network alone, here its head with it
_ROUNDING = 1e-9  # a share of the epochs, times the epochs, may come out just below the epoch
_WARM_UP = 0.05  # share of the training over which the learning rate rises from 0


@dataclass(frozen=True)
class TrainingData:
    """What is learnt from.

    Attributes:
        pixels: [N, S, S, 3] uint8, S the side that the network expects.
        labels: [N] int64 class of each image.
        teacher: from an epoch (from 0) to the teacher's [N, D] unit embeddings in that epoch; None without a teacher.
        parts: [N] number of the set of each image, where a mixture has shares; None otherwise.
        attributes: [N, A] int64 values of labelled attributes, -1 where unlabelled; None without.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    teacher: Callable[[int], NDArray[np.float32]] | None = None
    parts: NDArray[np.int64] | None = None
    attributes: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Step:
    """Figures of one optimisation step.

    Losses are those of this process's share of the batch; of a softmax over spread classes, of the whole batch.
    """

    progress: float  # share of the training done before the step
    lr: float
    loss: float
    classification: float
    transfer: float
    images: int  # of all processes together
    seconds: float


class Trainer:
    """The optimisation of one student; its whole state can be saved after any epoch and taken up again exactly."""

    def __init__(
        self, fabric: Any, student: Student, data: TrainingData, config: TrainingConfig, *, compiled: bool = False
    ) -> None:
        self._fabric, self._data, self._config = fabric, data, config
        self._batches = _batches(student, data, config, fabric.world_size)
        self.steps_per_epoch = self._batches.steps_per_epoch
        self.student = student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._tables = {name: part for name, part in student.named_modules() if isinstance(part, CentreTable)}
        # Tables are updated alike in every process, or are each process's own; DDP would send them before every step.
        ignored = [f"{name}.{buffer}" for name, part in self._tables.items() for buffer, _ in part.named_buffers()]
        student._ddp_params_and_buffers_to_ignore = ignored  # type: ignore[assignment]
        if self._tables and config.optimizer != "sgd":
            raise ConfigError(f"--optimizer {config.optimizer}: spread or sampled class centres learn by sgd alone")
        optimizer = _optimizer(student, config)
        if compiled:  # the network alone: heads are small, and some draw or count
            # The compiler (torch 2.13) would lay out what a backward convolution reads in the order of its weight's
            # gradient, which for a depthwise one is not channels-last.
            student.network.compile(options={"force_layout_optimization": True})
        self._draws_masks = draws_masks(student)
        self._module, self._optimizer = fabric.setup(self.student, optimizer)
        self.next_epoch = 0
        self._seconds = 0.0
        self._teacher: NDArray[np.float32] | None = None

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """What is learnt from, [N, S, S, 3]."""
        return self._data.pixels

    @property
    def finished(self) -> bool:
        """Whether the epochs or the minutes are used up."""
        return self.next_epoch >= self._config.epochs or self._progress(0) >= 1

    def run_epoch(self) -> Iterator[Step]:
        """Train for an epoch, or until the minutes are over, yielding after every step."""
        config, epoch = self._config, self.next_epoch
        n_places = self.steps_per_epoch * self._batches.size
        augment = EpochAugmentation(PRESETS[config.augment], n_places, seed=config.seed, epoch=epoch)
        self._teacher = None if self._data.teacher is None else self._data.teacher(epoch)
        slots = self._batches.slots(rank=self._fabric.global_rank, world_size=self._fabric.world_size)
        self._module.train()
        for step in range(self.steps_per_epoch):
            began = time.perf_counter()
            progress = self._progress(step)
            if progress >= 1:
                break
            mine = self._batches.images(epoch, step)[slots]
            images = augment(self.pixels[mine], step * self._batches.size + slots, self._fabric.device)
            with self._masks(epoch, step):
                losses, lr = self._step(mine, images, progress)
            seconds = time.perf_counter() - began
            self._seconds += seconds
            yield Step(progress, lr, *losses, self._batches.size, seconds)
        self.next_epoch += 1

    def _masks(self, epoch: int, step: int) -> contextlib.AbstractContextManager[None]:
        if not self._draws_masks:
            return contextlib.nullcontext()
        return seeded_masks(self._fabric.device, self._config.seed, epoch, step, self._fabric.global_rank)

    def _progress(self, step: int) -> float:
        """Return the share of the training that is done: of its steps, or of its minutes if those run out first."""
        share = (self.next_epoch + step / self.steps_per_epoch) / self._config.epochs
        if self._config.minutes is None:
            return share
        seconds = self._fabric.broadcast(self._seconds) if self._fabric.world_size > 1 else self._seconds
        return max(share, seconds / (60 * self._config.minutes))

    def _step(
        self, indices: NDArray[np.int64], images: Tensor, progress: float
    ) -> tuple[tuple[float, float, float], float]:
        """Take one optimisation step; return its three losses and its learning rate."""
        device = self._fabric.device
        labels = torch.from_numpy(self._data.labels[indices]).to(device)
        teacher = None if self._teacher is None else torch.from_numpy(self._teacher[indices]).to(device)
        config = self._config
        lr = config.lr * learning_rate_factor(progress, epochs=config.epochs, milestones=config.milestones)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        attributes = None
        if self._data.attributes is not None:
            attributes = torch.from_numpy(self._data.attributes[indices]).to(device)
        losses = self._module(images, labels, teacher, attributes)
        self._optimizer.zero_grad(set_to_none=True)
        self._fabric.backward(losses[0])
        for part in self._tables.values():
            part.average_gradient(self._fabric.world_size)
        clip_gradients(self.student.parameters(), self._tables.values(), _MAX_GRADIENT_NORM)
        self._optimizer.step()
        for part in self._tables.values():
            part.update(lr=lr, momentum=config.momentum, weight_decay=config.weight_decay)
        return (losses[0].item(), losses[1].item(), losses[2].item()), lr

    @property
    def shards(self) -> dict[str, CentreTable]:
        """Class centres of which each process has a part; ``shard_files`` keeps them, not the state."""
        return {name: part for name, part in self._tables.items() if part.shard is not None}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next epoch depends on but ``shards``, as tensors and plain values."""
        apart = tuple(f"{name}." for name in self.shards)
        student = {key: value for key, value in self.student.state_dict().items() if not key.startswith(apart)}
        return {
            "student": student,
            "shards": shard_of(self.shards).count if apart else 0,
            "optimizer": self._optimizer.state_dict(),
            "next_epoch": self.next_epoch,
            "seconds": self._seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state that ``state_dict`` returned."""
        self.student.load_state_dict(state["student"], strict=not self.shards)
        self._optimizer.load_state_dict(state["optimizer"])
        self.next_epoch = int(state["next_epoch"])
        self._seconds = float(state["seconds"])


def _batches(student: Student, data: TrainingData, config: TrainingConfig, world_size: int) -> Batches:
    if student.head is None or not student.head.needs_pairs:
        if data.parts is not None:
            return MixedBatches(data.parts, config.shares, config.batch, seed=config.seed, world_size=world_size)
        return ShuffledBatches(len(data.labels), config.batch, seed=config.seed, world_size=world_size)
    if data.parts is not None:
        raise ConfigError("--shares: this loss draws its batches by identity, so sets have no shares in them")
    batches = PairBatches(
        data.labels, config.batch, per_class=config.images_per_class, seed=config.seed, world_size=world_size
    )
    if batches.n_left_out:
        logger.warning("%d identities with a single image make no pairs and are not learnt from", batches.n_left_out)
    return batches


def epoch_figures(steps: list[Step]) -> dict[str, float]:
    """Return the figures of an epoch: mean losses, and progress and learning rate at its last step."""
    if not steps:
        return {}
    figures: dict[str, float] = {"progress": steps[-1].progress, "lr": steps[-1].lr}
    for name in ("loss", "classification", "transfer"):
        figures[name] = float(np.mean([getattr(step, name) for step in steps]))
    figures["seconds"] = sum(step.seconds for step in steps)
    figures["images_per_second"] = sum(step.images for step in steps) / figures["seconds"]
    return figures


def learning_rate_factor(progress: float, *, epochs: int = 1, milestones: Sequence[int] = ()) -> float:
    """Return the learning rate as a share of its highest.

    Args:
        progress: share of the training that is done.
        epochs: of the whole training.
        milestones: epochs, counted from 0, from which on it is a tenth of what it was; none: a linear rise over the
            first twentieth, then half a cosine down to 0.
    """
    if milestones:
        return float(0.1 ** sum(progress * epochs + _ROUNDING >= milestone for milestone in milestones))
    if progress < _WARM_UP:
        return (progress + 1e-3) / (_WARM_UP + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - _WARM_UP) / (1 - _WARM_UP))))


def _optimizer(student: Student, config: TrainingConfig) -> torch.optim.Optimizer:
    if config.optimizer == "muon":
        kernels = [p for p in student.network.parameters() if p.ndim > 1]
        known = {id(p) for p in kernels}
        others = [p for p in student.parameters() if id(p) not in known]
        return Muon(kernels, others, lr=config.lr, weight_decay=config.weight_decay)
    groups = _parameter_groups(student, config.weight_decay)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, fused=True)
    return torch.optim.SGD(groups, lr=0.0, momentum=config.momentum, fused=True)


def _parameter_groups(student: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Part the parameters: matrices and kernels decay, batch norms, biases and PReLU slopes do not."""
    parameters = list(student.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
