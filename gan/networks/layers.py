"""Equalised-learning-rate layers and the modulated convolution."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan.networks.activation import leaky_relu
from gan.networks.resample import downsample_blur, upsample_blur


def normalize_second_moment(x: Tensor) -> Tensor:
    """Scale each row of [N, D] to a mean square of one."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class FullyConnected(nn.Module):
    """Linear layer whose weights are stored at unit variance and scaled when used (arXiv 1710.10196, section 4.1)."""

    def __init__(
        self, n_in: int, n_out: int, *, activate: bool = False, bias: float = 0.0, lr_multiplier: float = 1.0
    ) -> None:
        super().__init__()
        self.activate = activate
        self.weight_gain = lr_multiplier / math.sqrt(n_in)
        self.bias_gain = lr_multiplier
        self.weight = nn.Parameter(torch.randn(n_out, n_in) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((n_out,), float(bias)))

    def forward(self, x: Tensor) -> Tensor:
        """[N, n_in] -> [N, n_out]."""
        x = F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)
        return leaky_relu(x) if self.activate else x


class Convolution(nn.Module):
    """Equalised convolution, optionally halving the resolution behind a low-pass filter."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: int,
        *,
        down: bool = False,
        activate: bool = True,
        bias: bool = True,
        gain: float = 1.0,
        clamp: float = 0.0,
    ) -> None:
        super().__init__()
        self.down, self.activate, self.gain, self.clamp = down, activate, gain, clamp
        self.weight_gain = 1 / math.sqrt(n_in * kernel**2)
        self.padding = kernel // 2
        weight = torch.randn(n_out, n_in, kernel, kernel)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, n_in, H, W] -> [N, n_out, H, W], or half that size."""
        weight = (self.weight * self.weight_gain).to(x.dtype)
        bias = self.bias.to(x.dtype) if self.bias is not None else None
        if not self.down:
            x = F.conv2d(x, weight, bias, padding=self.padding)
        elif self.padding:
            x = F.conv2d(downsample_blur(x, pad=2, stride=1), weight, bias, stride=2)
        else:
            x = F.conv2d(downsample_blur(x, pad=1, stride=2), weight, bias)
        if self.activate:
            return leaky_relu(x, gain=self.gain, clamp=self.clamp)
        return x * self.gain


def modulated_convolution(
    x: Tensor, weight: Tensor, styles: Tensor, *, up: bool = False, demodulate: bool = True, gain: float = 1.0
) -> Tensor:
    """Convolve with weights whose input channels are scaled per image (arXiv 1912.04958, section 2.2, Eq. 1-3).

    The scales are applied to the activations before, and the demodulation after, one shared convolution: the same
    values as N sets of weights, at the cost of one.

    Args:
        x: [N, I, H, W], float32 or bfloat16; the convolution has its precision, the scales are found in float32.
        weight: [O, I, k, k].
        styles: [N, I].
        up: double the resolution (transposed convolution and low-pass filter).
        demodulate: bring each output map back to unit expected norm.
        gain: factor of the result.

    Returns:
        [N, O, H, W], or [N, O, 2H, 2W].
    """
    kernel = weight.to(x.dtype)
    x = x * styles.to(x.dtype)[:, :, None, None]
    if up:
        x = upsample_blur(F.conv_transpose2d(x, kernel.transpose(0, 1), stride=2))
    else:
        x = F.conv2d(x, kernel, padding=weight.shape[-1] // 2)
    if not demodulate:
        return x if gain == 1 else x * gain
    energy = styles.square() @ weight.square().sum(dim=(2, 3)).t()
    scale = ((energy + 1e-8).rsqrt() * gain).to(x.dtype)[:, :, None, None]
    return x * scale if torch.is_grad_enabled() else x.mul_(scale)
