"""Collective operations that a gradient passes through.

Every process computes a loss from what all of them know; what is differentiated is the sum of the processes' losses.
Each operation here is linear, and its gradient is its transpose under that sum, so nothing else need know of it. DDP
divides the gradients of shared parameters by the number of processes, which makes them those of the mean.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


def gathered(x: Tensor) -> Tensor:
    """Return the rows [N B, ...] of all processes, in their order, from [B, ...] in each; with gradient."""
    return _Gather.apply(x)


def summed(x: Tensor) -> Tensor:
    """Return the sum over all processes of a tensor of one shape; with gradient."""
    return _Sum.apply(x)


def greatest_across_processes(x: Tensor) -> Tensor:
    """Return the elementwise maximum over all processes, without gradient."""
    greatest = x.detach().clone()
    dist.all_reduce(greatest, op=dist.ReduceOp.MAX)
    return greatest


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.n_rows = len(x)
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # gloo has no reduce-scatter; [N B, D] is small beside the logits.
        first = dist.get_rank() * ctx.n_rows
        return _all_reduced(gradient)[first : first + ctx.n_rows]


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _all_reduced(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _all_reduced(gradient)


def _all_reduced(x: Tensor) -> Tensor:
    total = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
