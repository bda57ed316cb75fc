"""Class centres as a table of which a step touches a sample, a process has a part, or both: what many classes need."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from synthface.core.errors import ConfigError
from synthface.core.seeds import numpy_generator
from synthface.recognition.losses.class_centres import drawn_centres
from synthface.recognition.losses.collectives import gathered
from synthface.recognition.losses.columns import Columns, SpreadColumns
from synthface.recognition.losses.recognition_loss import gathered_rows, sum_across_processes
from synthface.recognition.losses.shard import Shard


class CentreTable(nn.Module):
    """Centres that the trainer updates itself.

    A step touches the batch's own classes and a seeded random sample of the others; the gradient, the logits and the
    update have the sample's size, not the table's. With a shard a process has only its part of the table; it compares
    the embeddings of all processes with that part, and the processes' logits are one softmax. Neither changes what is
    computed: N processes train as one does, to rounding, and at rate 1 as ``ClassCentres`` do. After ``backward`` the
    trainer calls ``average_gradient`` and ``update``; a row keeps its momentum until it is drawn again.
    Source: Partial FC, arXiv 2010.05222.

    Args:
        shape: (C, D) or (C, K, D), of the whole table.
        seed: of the first centres and of the sample; the sample depends on (seed, step).
        rate: share of the classes in a step.
        shard: this process's part; None for all of it.
    """

    weight: Tensor
    momentum: Tensor
    step: Tensor

    def __init__(self, shape: tuple[int, ...], seed: int, *, rate: float = 1.0, shard: Shard | None = None) -> None:
        super().__init__()
        if not 0 < rate <= 1:
            raise ConfigError(f"a sample_rate of {rate} is not in (0, 1]")
        self.shard, self.n_classes = shard, shape[0]
        self.rows = (shard or Shard()).rows(shape[0])
        self.is_spread = shard is not None and shard.count > 1
        self.n_sampled = math.ceil(rate * shape[0])
        self._seed = seed
        self.register_buffer("weight", drawn_centres(shape, seed, self.rows))
        self.register_buffer("momentum", torch.zeros_like(self.weight))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.active: Tensor | None = None  # the rows that take part, a leaf that receives the gradient
        self._taking_part: Tensor | slice = slice(None)  # which these are, counted from the first row here

    def gather(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings and labels that are compared with the centres here: those of all if it is spread."""
        return (gathered(x), gathered_rows(y)) if self.is_spread else (x, y)

    def forward(self, y: Tensor) -> tuple[Tensor, Columns]:
        """Return the centres that take part, and where among them the labels are; all in evaluation mode."""
        sample = None
        if self.training:
            self.step += 1
            if self.n_sampled < self.n_classes:
                sample = self._sample(y if self.is_spread else gathered_rows(y)).to(y.device)
            self._take(sample)
        active = self.weight if self.active is None or not self.training else self.active
        return active, self._columns(y, sample)

    def _take(self, sample: Tensor | None) -> None:
        if sample is None:
            self._taking_part, self.active = slice(None), self.weight.detach().requires_grad_()
            return
        here = sample[(sample >= self.rows.start) & (sample < self.rows.stop)] - self.rows.start
        self._taking_part, self.active = here, self.weight[here].requires_grad_()

    def _columns(self, y: Tensor, sample: Tensor | None) -> Columns:
        if not self.is_spread:
            return Columns(y if sample is None else torch.searchsorted(sample, y))
        first, last = self.rows.start, self.rows.stop
        here = (y >= first) & (y < last)
        if sample is None:
            return SpreadColumns(y - first, here, slice(first, last))
        assert isinstance(self._taking_part, Tensor)
        classes = self._taking_part + first
        return SpreadColumns(torch.searchsorted(classes, y), here, classes)

    def _sample(self, y: Tensor) -> Tensor:
        """Return the sorted classes of this step: those of all processes' labels, filled up with others by chance."""
        positives = np.unique(y.cpu().numpy())
        n_wanted = max(self.n_sampled, len(positives))
        generator = numpy_generator(self._seed, "sampled classes", int(self.step))
        if 2 * n_wanted > self.n_classes:
            order = generator.permutation(self.n_classes)
        else:  # so much too many that distinct ones are hardly ever too few; the loop covers "hardly"
            order = generator.integers(0, self.n_classes, 3 * n_wanted + 64)
            while len(np.unique(order)) < n_wanted:
                order = np.concatenate([order, generator.integers(0, self.n_classes, n_wanted)])
        others = order[~np.isin(order, positives)]
        _, first = np.unique(others, return_index=True)
        others = others[np.sort(first)][: n_wanted - len(positives)]
        return torch.from_numpy(np.sort(np.concatenate([positives, others])))

    @torch.no_grad()
    def average_gradient(self, n_processes: int) -> Tensor:
        """Return the rows that took part, whose gradient becomes that of the processes' mean loss.

        Of a part that only this process has, the gradient already holds all processes' losses (``collectives``).
        """
        if self.active is None or self.active.grad is None:
            raise RuntimeError("a gradient of the class centres is asked for before there is one")
        if n_processes > 1:
            total = self.active.grad if self.is_spread else sum_across_processes(self.active.grad)
            self.active.grad = total / n_processes
        return self.active

    @torch.no_grad()
    def update(self, *, lr: float, momentum: float, weight_decay: float) -> None:
        """Take one SGD step on the rows that took part from the gradient that ``backward`` left."""
        if self.active is None or self.active.grad is None:
            raise RuntimeError("the class centres are updated before there is a gradient")
        rows = self._taking_part
        # In place: where all rows take part these are views, and no further table is made.
        velocity, weight = self.momentum[rows], self.active.detach()
        velocity.mul_(momentum).add_(self.active.grad).add_(weight, alpha=weight_decay)
        weight.add_(velocity, alpha=-lr)
        self.momentum[rows], self.weight[rows] = velocity, weight
        self.active = None
