"""Path-length regularisation: equal steps in w change the image equally much (arXiv 1912.04958, section 3.2, Eq. 4)."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

Synthesize = Callable[[Tensor, Sequence[Tensor] | None], Tensor]


def path_lengths(images: Tensor, ws: Tensor, directions: Tensor) -> Tensor:
    """Return the lengths of J^T y, the gradients by w in a direction y in the space of images.

    Args:
        images: [N, C, H, W], computed from ``ws``.
        ws: [N, n_w, w_dim], requiring a gradient.
        directions: [N, C, H, W] standard normal.

    Returns:
        [N], differentiable: root of the mean over the n_w layers of the squared norm. A pixel's direction has the
        variance 1/(H W), so that lengths are alike at all resolutions.
    """
    scale = 1 / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * directions).sum() * scale, ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def path_length_penalty(
    synthesize: Synthesize, ws: Tensor, noise: Sequence[Tensor] | None, generator: Generator, target: float
) -> tuple[Tensor, Tensor]:
    """Return the mean squared deviation of the path lengths from a target, and the mean length.

    Args:
        synthesize: the synthesis network, twice differentiable (uncompiled).
        ws: [N, n_w, w_dim], part of a graph or requiring a gradient.
        noise: as ``synthesize`` takes it.
        generator: source of the directions, on the CPU.
        target: a of Eq. 4, the mean length so far: ``PathLengthMean.value``.

    Returns:
        Two scalars: the penalty, differentiable in the network's weights and in ``ws``; the mean length, detached.
    """
    images = synthesize(ws, noise)
    directions = torch.randn(images.shape, generator=generator).to(images)
    lengths = path_lengths(images, ws, directions)
    return (lengths - target).square().mean(), lengths.detach().mean()


class PathLengthMean:
    """The moving mean of path lengths, Eq. 4's a.

    A step uses the mean of the steps before it, and ``observe`` comes once a step with the mean over all processes:
    neither micro-batches nor processes change the run.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.value = 0.0

    def observe(self, mean_length: float) -> None:
        """Move towards the mean length of a step; one that is not finite is left out."""
        if math.isfinite(mean_length):
            self.value += (mean_length - self.value) * self.decay

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.value = float(state["value"])
