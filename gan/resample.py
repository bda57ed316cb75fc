"""Low-pass filtering by the kernel [1, 3, 3, 1] around changes of resolution (arXiv 1912.04958, appendix B)."""

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = (0.125, 0.375, 0.375, 0.125)


def upsample_blur(x: Tensor) -> Tensor:
    """Filter the output of a stride-2 transposed convolution: [N, C, 2H+1, 2W+1] -> [N, C, 2H, 2W].

    Twice the kernel in each direction makes up for the zeros between the samples.
    """
    return _filter(x, gain=2.0, pad=1)


def downsample_blur(x: Tensor, *, pad: int, stride: int) -> Tensor:
    """Filter before halving the resolution: [N, C, H, W] -> [N, C, (H + 2 pad - 3), ...], every ``stride``-th pixel."""
    return _filter(x, gain=1.0, pad=pad, stride=stride)


def upsample_image(image: Tensor) -> Tensor:
    """Double the resolution of [N, C, H, W]: zeros between the samples, then the filter."""
    channels = image.shape[1]
    kernel = _kernel(image, gain=2.0)[None, None].repeat(channels, 1, 1, 1)
    return F.conv_transpose2d(image, kernel, stride=2, padding=1, groups=channels)


def _kernel(like: Tensor, *, gain: float) -> Tensor:
    taps = torch.tensor(TAPS, dtype=like.dtype, device=like.device) * gain
    return taps[:, None] * taps[None, :]


def _filter(x: Tensor, *, gain: float, pad: int, stride: int = 1) -> Tensor:
    channels = x.shape[1]
    kernel = _kernel(x, gain=gain)[None, None].repeat(channels, 1, 1, 1)
    return F.conv2d(x, kernel, padding=pad, stride=stride, groups=channels)
