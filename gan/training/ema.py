"""The generator's moving average."""

import copy
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def averaged_copy(module: M) -> M:
    """Return a frozen copy to hold the average."""
    return copy.deepcopy(module).eval().requires_grad_(False)


def decay(batch: int, half_life_images: float) -> float:
    """Return the factor of the old value after one step of ``batch`` images."""
    return float(0.5 ** (batch / max(half_life_images, 1e-8)))


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, beta: float) -> None:
    """Move the average towards the module's parameters; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), 1 - beta)
    for old, new in zip(average.buffers(), module.buffers(), strict=True):
        old.copy_(new)
