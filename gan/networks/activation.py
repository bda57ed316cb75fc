"""Leaky ReLU whose derivative is read off its output: no mask of the input's signs is kept.

A compiled graph would store that mask, a byte a number, which on a CPU takes longer than the activation; the output is
kept anyway, since the next convolution needs it. A positive factor keeps the signs, so it may be taken along.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SQRT2 = math.sqrt(2.0)
SLOPE = 0.2


def leaky_relu(x: Tensor, *, gain: float = 1.0, clamp: float = 0.0) -> Tensor:
    """Leaky ReLU (slope 0.2) times sqrt(2), which keeps the variance; then gain and clipping."""
    x = _ScaledLeakyRelu.apply(x, SQRT2 * gain)
    return x.clamp(-clamp * gain, clamp * gain) if clamp else x


def shifted_leaky_relu(x: Tensor, shift: Tensor, *, clamp: float = 0.0) -> Tensor:
    """Leaky ReLU of x + shift, for an x that holds the gain of sqrt(2) already; in place where no gradient is wanted.

    A positive factor passes through the activation. Taking it along with the demodulation, and working in place, is
    what a network on a CPU needs: around its convolutions the time goes to passes over the memory.
    """
    shift = shift.to(x.dtype)
    x = _ScaledLeakyRelu.apply(x + shift, 1.0) if torch.is_grad_enabled() else F.leaky_relu_(x.add_(shift), SLOPE)
    return x.clamp(-clamp, clamp) if clamp else x


class _ScaledLeakyRelu(torch.autograd.Function):
    """Leaky ReLU times a positive factor; twice differentiable, the second derivative being 0 almost everywhere."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float) -> Tensor:
        y = F.leaky_relu(x, SLOPE)
        y = y if gain == 1 else y * gain
        ctx.save_for_backward(y)
        ctx.gain = gain
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (y,), (gradient,) = ctx.saved_tensors, gradients
        if torch.compiler.is_compiling():
            # Numbers where a comparison would be natural: the compiler would part it off and keep it as a mask. At 0
            # this is the mean of the two slopes.
            slope = (1 + SLOPE) / 2 + (1 - SLOPE) / 2 * y.sign()
            return gradient * (slope * ctx.gain), None
        return torch.where(y > 0, gradient * ctx.gain, gradient * (SLOPE * ctx.gain)), None
