"""Low-pass filtering by the kernel [1, 3, 3, 1] around changes of resolution (arXiv 1912.04958, appendix B).

Three linear maps, each the derivative of another: ``blur`` is its own adjoint up to padding, ``halve`` and ``double``
are each other's. They are operators of their own, so that second derivatives (R1) cost no more than first ones, and so
that a compiler neither rebuilds the kernel nor mixes it with its neighbours.
"""

import math
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = (0.125, 0.375, 0.375, 0.125)


def upsample_blur(x: Tensor) -> Tensor:
    """Filter the output of a stride-2 transposed convolution: [N, C, 2H+1, 2W+1] -> [N, C, 2H, 2W].

    Twice the kernel in each direction makes up for the zeros between the samples.
    """
    return _blur(x, 4.0, 1)


def downsample_blur(x: Tensor, *, pad: int = 1, stride: int = 1) -> Tensor:
    """Filter before halving the resolution: [N, C, H, W] -> [N, C, H + 2 pad - 3, ...]; stride 2 takes pad 1."""
    return _blur(x, 1.0, pad) if stride == 1 else _halve(x, 1.0)


def upsample_image(image: Tensor) -> Tensor:
    """Double the resolution of [N, C, H, W]: zeros between the samples, then the filter."""
    return _double(image, 4.0)


@lru_cache(maxsize=64)
def _kernel(channels: int, gain: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        taps = torch.tensor(TAPS, dtype=torch.float64)
        kernel = torch.outer(taps, taps) * gain
        return kernel.to(device=device, dtype=dtype).repeat(channels, 1, 1, 1)


def _kernel_for(x: Tensor, gain: float) -> Tensor:
    return _kernel(x.shape[1], gain, x.dtype, x.device)


def _format_of(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format


@lru_cache(maxsize=64)
def _doubling(side: int, gain: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the matrix [2 side, side] that doubles one of two axes as ``_double`` does."""
    with torch.inference_mode(False):
        matrix = torch.zeros(2 * side + 2, side, dtype=torch.float64)
        for tap, value in enumerate(TAPS):
            matrix[tap : tap + 2 * side : 2].fill_diagonal_(value * math.sqrt(gain))
        return matrix[1:-1].to(device=device, dtype=dtype).contiguous()


def _goes_by_products(x: Tensor) -> bool:
    """Say whether two matrix products are quicker than a convolution: where channels are few, as those of an image.

    An odd side is not the double of another.
    """
    return x.shape[1] <= 4 and x.device.type == "cpu" and x.shape[2] % 2 == x.shape[3] % 2 == 0


@torch.library.custom_op("synthface::blur", mutates_args=())
def _blur(x: Tensor, gain: float, pad: int) -> Tensor:
    y = F.conv2d(x, _kernel_for(x, gain), padding=pad, groups=x.shape[1])
    return y.contiguous(memory_format=_format_of(x))


@torch.library.custom_op("synthface::halve", mutates_args=())
def _halve(x: Tensor, gain: float) -> Tensor:
    if _goes_by_products(x):
        rows, columns = (_doubling(side // 2, gain, x.dtype, x.device) for side in x.shape[2:])
        return (rows.T @ x @ columns).contiguous(memory_format=_format_of(x))
    y = F.conv2d(x, _kernel_for(x, gain), padding=1, stride=2, groups=x.shape[1])
    return y.contiguous(memory_format=_format_of(x))


@torch.library.custom_op("synthface::double", mutates_args=())
def _double(x: Tensor, gain: float) -> Tensor:
    if _goes_by_products(x):
        rows, columns = (_doubling(side, gain, x.dtype, x.device) for side in x.shape[2:])
        return (rows @ x @ columns.T).contiguous(memory_format=_format_of(x))
    # On a CPU torch's transposed depthwise convolution is tens of times slower in bfloat16 than by way of float32.
    z = x.float() if x.dtype == torch.bfloat16 and x.device.type == "cpu" else x
    y = F.conv_transpose2d(z, _kernel_for(z, gain), padding=1, stride=2, groups=x.shape[1])
    return y.to(x.dtype).contiguous(memory_format=_format_of(x))


@_blur.register_fake
def _(x: Tensor, gain: float, pad: int) -> Tensor:
    return _empty_like(x, x.shape[2] + 2 * pad - 3, x.shape[3] + 2 * pad - 3)


@_halve.register_fake
def _(x: Tensor, gain: float) -> Tensor:
    return _empty_like(x, x.shape[2] // 2, x.shape[3] // 2)


@_double.register_fake
def _(x: Tensor, gain: float) -> Tensor:
    return _empty_like(x, x.shape[2] * 2, x.shape[3] * 2)


def _empty_like(x: Tensor, height: int, width: int) -> Tensor:
    size = (x.shape[0], x.shape[1], height, width)
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=_format_of(x))


def _keep_blur(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, ctx.gain, ctx.pad = inputs


def _keep_gain(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, ctx.gain = inputs


_blur.register_autograd(lambda ctx, grad: (_blur(grad, ctx.gain, 3 - ctx.pad), None, None), setup_context=_keep_blur)
_halve.register_autograd(lambda ctx, grad: (_double(grad, ctx.gain), None), setup_context=_keep_gain)
_double.register_autograd(lambda ctx, grad: (_halve(grad, ctx.gain), None), setup_context=_keep_gain)
