"""Class centres: all of them as a parameter, or so many that only a sample takes part in a step."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from synthface.core.errors import ConfigError
from synthface.core.seeds import numpy_generator
from synthface.recognition.losses.recognition_loss import gathered_labels, sum_across_processes

_SPREAD = 0.01  # only the direction of a centre counts when it is normalised; small centres turn fast at first


class ClassCentres(nn.Module):
    """Centres [C, D] (or [C, K, D]) as a parameter; every class takes part in every step."""

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(_drawn(shape, seed))

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the centres that take part, and the labels [B] as rows of these."""
        return self.weight, y


class SampledCentres(nn.Module):
    """Centres of which a step touches the batch's own classes and a seeded random sample of the others.

    The table and its momentum are buffers; the gradient, the logits and the update have the sample's size, not the
    table's, so a step's memory and time do not grow with the number of classes. After ``backward`` the trainer calls
    ``update``: a row keeps its momentum until it is drawn again. Source: Partial FC, arXiv 2010.05222.

    Args:
        shape: (C, D) or (C, K, D).
        rate: share of the classes in a step; with 1 this computes what ``ClassCentres`` does.
        seed: of the first centres and of the sample; the sample depends on (seed, step).
    """

    weight: Tensor
    momentum: Tensor
    step: Tensor

    def __init__(self, shape: tuple[int, ...], rate: float, seed: int) -> None:
        super().__init__()
        if not 0 < rate <= 1:
            raise ConfigError(f"a sample_rate of {rate} is not in (0, 1]")
        self.n_sampled = math.ceil(rate * shape[0])
        self._seed = seed
        self.register_buffer("weight", _drawn(shape, seed))
        self.register_buffer("momentum", torch.zeros(shape))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.active: Tensor | None = None  # the sampled rows, a leaf that receives the gradient
        self._rows = torch.zeros(0, dtype=torch.int64)

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sampled centres and the labels [B] as rows of these; all classes in evaluation mode."""
        if not self.training:
            return self.weight, y
        self.step += 1
        self._rows = self._sample(gathered_labels(y)).to(y.device)
        self.active = self.weight[self._rows].requires_grad_()
        return self.active, torch.searchsorted(self._rows, y)

    def _sample(self, y: Tensor) -> Tensor:
        """Return the sorted classes of this step: those of all processes' labels, filled up with others by chance."""
        positives = np.unique(y.cpu().numpy())
        n_classes = len(self.weight)
        n_wanted = max(self.n_sampled, len(positives))
        generator = numpy_generator(self._seed, "sampled classes", int(self.step))
        if 2 * n_wanted > n_classes:
            order = generator.permutation(n_classes)
        else:  # so much too many that distinct ones are hardly ever too few; the loop covers "hardly"
            order = generator.integers(0, n_classes, 3 * n_wanted + 64)
            while len(np.unique(order)) < n_wanted:
                order = np.concatenate([order, generator.integers(0, n_classes, n_wanted)])
        others = order[~np.isin(order, positives)]
        _, first = np.unique(others, return_index=True)
        others = others[np.sort(first)][: n_wanted - len(positives)]
        return torch.from_numpy(np.sort(np.concatenate([positives, others])))

    @torch.no_grad()
    def average_gradient(self, n_processes: int) -> Tensor:
        """Return the sampled rows, whose gradient becomes the processes' mean, as DDP makes it for parameters."""
        if self.active is None or self.active.grad is None:
            raise RuntimeError("a gradient of the sampled centres is asked for before there is one")
        if n_processes > 1:
            self.active.grad = sum_across_processes(self.active.grad) / n_processes
        return self.active

    @torch.no_grad()
    def update(self, *, lr: float, momentum: float, weight_decay: float) -> None:
        """Take one SGD step on the sampled rows from the gradient that ``backward`` left."""
        if self.active is None or self.active.grad is None:
            raise RuntimeError("the sampled centres are updated before there is a gradient")
        velocity = momentum * self.momentum[self._rows] + self.active.grad + weight_decay * self.active
        self.momentum[self._rows] = velocity
        self.weight[self._rows] -= lr * velocity
        self.active = None


def _drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * _SPREAD
