"""From w to an image: modulated convolutions at growing resolutions, images summed over skips."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan.config import NetworkConfig
from gan.networks.activation import SQRT2, shifted_leaky_relu
from gan.networks.layers import FullyConnected, modulated_convolution
from gan.networks.resample import upsample_image


class StyledConvolution(nn.Module):
    """Modulated 3x3 convolution, noise, bias and activation."""

    def __init__(self, n_in: int, n_out: int, w_dim: int, resolution: int, *, up: bool, clamp: float) -> None:
        super().__init__()
        self.up, self.clamp = up, clamp
        self.affine = FullyConnected(w_dim, n_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(n_out, n_in, 3, 3).contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.noise_const: Tensor

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """[N, I, H, W], [N, w_dim], noise [N or 1, 1, H', W'] -> [N, O, H', W']."""
        x = modulated_convolution(x, self.weight, self.affine(w), up=self.up, gain=SQRT2)
        return shifted_leaky_relu(x, self.shift(noise), clamp=self.clamp)

    def shift(self, noise: Tensor | None) -> Tensor:
        """Return bias plus noise, [N or 1, O, H' or 1, W' or 1], with the gain that the activation leaves out."""
        shift = self.bias[None, :, None, None]
        if noise is not None:  # laid out as x is: to add across layouts takes ten times as long
            shift = (shift + noise * self.noise_strength).contiguous(memory_format=torch.channels_last)
        return shift * SQRT2


class ToRgb(nn.Module):
    """Modulated 1x1 convolution to colours, without demodulation."""

    def __init__(self, n_in: int, w_dim: int, *, clamp: float) -> None:
        super().__init__()
        self.clamp = clamp
        self.style_gain = 1 / math.sqrt(n_in)
        self.affine = FullyConnected(w_dim, n_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, n_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """[N, I, H, W], [N, w_dim] -> [N, 3, H, W] float32, as the image is a sum over resolutions."""
        weights = self.weight[:, :, 0, 0] * (self.affine(w) * self.style_gain)[:, None]  # [N, 3, I]
        # Three outputs are too few for a convolution to be worth scaling its whole input first.
        image = (weights.to(x.dtype) @ x.flatten(2)).float().unflatten(2, x.shape[2:]) + self.bias[:, None, None]
        return image.clamp(-self.clamp, self.clamp) if self.clamp else image


class Block(nn.Module):
    """One resolution: (upsampling) convolutions and the skip to the image."""

    def __init__(self, n_in: int, n_out: int, w_dim: int, resolution: int, *, clamp: float) -> None:
        super().__init__()
        self.is_first, self.resolution = n_in == 0, resolution
        if self.is_first:
            self.const = nn.Parameter(torch.randn(n_out, resolution, resolution))
        else:
            self.up_convolution = StyledConvolution(n_in, n_out, w_dim, resolution, up=True, clamp=clamp)
        self.convolution = StyledConvolution(n_out, n_out, w_dim, resolution, up=False, clamp=clamp)
        self.to_rgb = ToRgb(n_out, w_dim, clamp=clamp)

    @property
    def styled(self) -> list[StyledConvolution]:
        """The convolutions that take a w and a noise, in order."""
        return [self.convolution] if self.is_first else [self.up_convolution, self.convolution]


def block_dtype(resolution: int, half_from: int, full: torch.dtype) -> torch.dtype:
    """Return the precision of a block's activations; the highest resolutions cost most and need the least."""
    return torch.bfloat16 if 0 < half_from <= resolution else full


class Synthesis(nn.Module):
    """The synthesis network (skip architecture).

    There is one w for each styled convolution and one more for the last ToRgb; a ToRgb before it shares the w of
    the next block's first convolution.

    Attributes:
        half_from: blocks of this resolution and above compute in bfloat16; 0 is none. A matter of speed, not of the
            weights, and off when a network is loaded.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        resolutions = config.block_resolutions
        channels = [0, *(config.channels(resolution) for resolution in resolutions)]
        self.blocks: Sequence[Block] = nn.ModuleList(  # type: ignore[assignment]  # a ModuleList of Blocks
            Block(n_in, n_out, config.w_dim, resolution, clamp=config.clamp)
            for n_in, n_out, resolution in zip(channels[:-1], channels[1:], resolutions, strict=True)
        )
        self.styled = [layer for block in self.blocks for layer in block.styled]
        self.n_w = len(self.styled) + 1
        self.half_from = 0

    @property
    def noise_resolutions(self) -> list[int]:
        """Side of each noise image, in the order in which ``forward`` takes them."""
        return [layer.noise_const.shape[-1] for layer in self.styled]

    def constant_noise(self) -> list[Tensor]:
        """Return the fixed noise images of the weights, [1, 1, H, W] each."""
        return [layer.noise_const[None, None] for layer in self.styled]

    def forward(self, ws: Tensor, noise: Sequence[Tensor] | None) -> Tensor:
        """Draw images.

        Args:
            ws: [N, n_w, w_dim].
            noise: one tensor a styled convolution, [N or 1, 1, H, W]; None for no noise.

        Returns:
            [N, 3, resolution, resolution], nominally in [-1, 1].
        """
        image: Tensor | None = None
        x: Tensor | None = None
        index = 0
        for block in self.blocks:
            if x is None:
                x = block.const.expand(len(ws), -1, -1, -1).contiguous(memory_format=torch.channels_last)
            x = x.to(block_dtype(block.resolution, self.half_from, ws.dtype))
            for layer in block.styled:
                x = layer(x, ws[:, index], None if noise is None else noise[index])
                index += 1
            colours = block.to_rgb(x, ws[:, index])
            image = colours if image is None else upsample_image(image) + colours
        assert image is not None
        return image
