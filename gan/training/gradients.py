"""From summed micro-batch gradients to one step of an optimiser, the same in every process."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def sum_over_processes(fabric: Any, value: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes."""
    return fabric.all_reduce(value, reduce_op="sum") if fabric.world_size > 1 else value


def means_over_processes(fabric: Any, *values: float) -> list[float]:
    """Return the means of numbers over all processes, so that all decide the same; one message for all of them."""
    if fabric.world_size == 1:
        return list(values)
    total = sum_over_processes(fabric, torch.tensor(values, dtype=torch.float64, device=fabric.device))
    return [value / fabric.world_size for value in total.tolist()]


def sum_all_over_processes(fabric: Any, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the sums of named tensors of one type over all processes, by one message for all of them."""
    if fabric.world_size == 1:
        return dict(values)
    return dict(zip(values, _sum_together(fabric, list(values.values())), strict=True))


def _sum_together(fabric: Any, tensors: Sequence[Tensor]) -> list[Tensor]:
    flat = sum_over_processes(fabric, torch.cat([tensor.flatten() for tensor in tensors]))
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def apply_gradients(fabric: Any, optimizer: torch.optim.Optimizer, module: nn.Module) -> int:
    """Sum gradients over processes, replace what is not finite, take a step, and forget them.

    Returns:
        How many elements of the sums were replaced; the same in every process.
    """
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    if fabric.world_size > 1:
        for gradient, total in zip(gradients, _sum_together(fabric, gradients), strict=True):
            gradient.copy_(total)
    n_replaced = 0
    if not nn.utils.get_total_norm(gradients).isfinite():  # one pass over the numbers where all is well
        n_replaced = sum(int(gradient.isfinite().logical_not().sum()) for gradient in gradients)
        for gradient in gradients:
            torch.nan_to_num(gradient, nan=0.0, posinf=1e5, neginf=-1e5, out=gradient)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return n_replaced
