"""From summed micro-batch gradients to one step of an optimiser, the same in every process."""

from typing import Any

import torch
from torch import Tensor, nn


def sum_over_processes(fabric: Any, value: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes."""
    return fabric.all_reduce(value, reduce_op="sum") if fabric.world_size > 1 else value


def apply_gradients(fabric: Any, optimizer: torch.optim.Optimizer, module: nn.Module) -> None:
    """Sum gradients over processes, replace what is not finite, take a step, and forget them."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    if fabric.world_size > 1:
        flat = sum_over_processes(fabric, torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))
    for gradient in gradients:
        torch.nan_to_num(gradient, nan=0.0, posinf=1e5, neginf=-1e5, out=gradient)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
