"""Batch norm and PReLU of a frozen network, with backward passes that do no more than the input needs.

Both are written for CPUs in channels-last layout, where torch's own are slow: the gradient of PReLU computes that of
its slopes too and uses no vector unit, and those of a batch norm and of its moments are separate passes over the
features, added by a third. ``scripts/bench_inversion.py`` times the whole step. Compiled, the passes become one kernel.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Moments = tuple[Tensor, Tensor]  # mean [C] and biased variance [C] over batch, height and width


def batch_moments(features: Tensor) -> Moments:
    """Return mean and biased variance of [N, C, ...] features over all dimensions but the second, each [C]."""
    moments: Moments = _BatchMoments.apply(features)
    return moments


def normalise_with_moments(features: Tensor, layer: nn.BatchNorm2d) -> tuple[Tensor, Moments]:
    """Return what a batch norm in evaluation mode makes of [N, C, H, W] features, and their own moments.

    Both are in float32 at least, whatever the features are in. The layer's parameters get no gradient.
    """
    normalised, mean, variance = _NormaliseWithMoments.apply(
        features, layer.running_mean, layer.running_var, layer.weight, layer.bias, layer.eps
    )
    return normalised, (mean, variance)


def prelu(features: Tensor, slopes: Tensor) -> Tensor:
    """Return ``F.prelu`` of [N, C, ...] features; the slopes, [C] or [1], get no gradient."""
    activated: Tensor = _Prelu.apply(features, slopes)
    return activated


@contextmanager
def fast_prelus(model: nn.Module) -> Iterator[None]:
    """Let the PReLUs of a model compute no gradient of slopes that require none; undo it at the end."""
    changed = [layer for layer in model.modules() if type(layer) is nn.PReLU and "forward" not in vars(layer)]
    for layer in changed:
        layer.forward = _prelu_forward(layer)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        for layer in changed:
            del vars(layer)["forward"]


def _prelu_forward(layer: nn.PReLU) -> Callable[[Tensor], Tensor]:
    def forward(features: Tensor) -> Tensor:
        if layer.weight.requires_grad or features.dim() < 2:
            return F.prelu(features, layer.weight)
        return prelu(features, layer.weight)

    return forward


class _BatchMoments(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Moments:
        mean, variance = _moments(features)
        ctx.save_for_backward(features, mean)
        return mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        features, mean = ctx.saved_tensors
        return _moments_backward(_wide(features), mean, *gradients).to(features.dtype)


class _NormaliseWithMoments(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        running_mean: Tensor,
        running_variance: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean, variance = _moments(features)
        ctx.save_for_backward(features, mean, running_variance, weight)
        ctx.eps = eps
        normalised = F.batch_norm(_wide(features), running_mean, running_variance, weight, bias, eps=eps)
        return normalised, mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        features, mean, running_variance, weight = ctx.saved_tensors
        of_normalised, *of_moments = gradients
        scale = (running_variance + ctx.eps).rsqrt()
        scale = _per_channel(scale if weight is None else scale * weight, of_normalised)
        total = _moments_backward(_wide(features), mean, *of_moments).addcmul_(of_normalised, scale)
        return total.to(features.dtype), None, None, None, None, None


class _Prelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(features, slopes)
        return F.prelu(features, slopes)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        features, slopes = ctx.saved_tensors
        (gradient,) = gradients
        slope = _per_channel(slopes, features)
        # slope g + (1 - slope) g [x > 0]: no mask in memory, and only kernels that use a CPU's vector unit.
        positive = torch.ops.aten.threshold_backward(gradient, features, 0)
        return positive.mul_(1 - slope).addcmul_(gradient, slope), None


def _moments(features: Tensor) -> Moments:
    """Return the moments, at least in float32; the fused kernel is some 20 times faster than ``torch.var_mean``."""
    if features.device.type not in ("cpu", "cuda"):
        variance, mean = torch.var_mean(_wide(features), [0, *range(2, features.dim())], correction=0)
        return mean, variance
    running: list[Tensor | None] = [None, None]
    if features.dtype not in (torch.float32, torch.float64):  # the kernel sums in the type of these, else unused
        running = [features.new_zeros(features.shape[1], dtype=torch.float32) for _ in range(2)]
    mean, variance = torch.batch_norm_update_stats(features.detach(), running[0], running[1], 0.0)
    return mean, variance


def _moments_backward(features: Tensor, mean: Tensor, of_mean: Tensor, of_variance: Tensor) -> Tensor:
    """Return d mean/dx = 1/n and d variance/dx = 2 (x - mean)/n, times their gradients: one multiply-add."""
    count = features.numel() // features.shape[1]
    slope = of_variance * (2 / count)
    offset = of_mean / count - slope * mean
    return torch.addcmul(_per_channel(offset, features), features, _per_channel(slope, features))


def _wide(features: Tensor) -> Tensor:
    return features.to(torch.promote_types(features.dtype, torch.float32))


def _per_channel(values: Tensor, features: Tensor) -> Tensor:
    return values.to(features.dtype).view(1, -1, *[1] * (features.dim() - 2))
