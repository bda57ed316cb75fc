"""The discriminator: residual blocks, minibatch standard deviation, projection on the class."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from gan.config import NetworkConfig
from gan.networks.layers import Convolution, FullyConnected
from gan.networks.mapping import Mapping
from gan.networks.synthesis import block_dtype

_RESIDUAL_GAIN = math.sqrt(0.5)
_MAPPING_LAYERS = 8


class ResidualBlock(nn.Module):
    """Two convolutions and a linear skip, halving the resolution."""

    def __init__(self, n_in: int, n_out: int, resolution: int, *, clamp: float) -> None:
        super().__init__()
        self.resolution = resolution
        self.first = Convolution(n_in, n_in, 3, clamp=clamp)
        self.second = Convolution(n_in, n_out, 3, down=True, gain=_RESIDUAL_GAIN, clamp=clamp)
        self.skip = Convolution(n_in, n_out, 1, down=True, gain=_RESIDUAL_GAIN, bias=False, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] -> [N, O, H/2, W/2]."""
        return self.skip(x) + self.second(self.first(x))


class Discriminator(nn.Module):
    """Scores images given their class (projection, arXiv 1802.05637; as wired in arXiv 2006.06676).

    Attributes:
        half_from: blocks of this resolution and above compute in bfloat16; 0 is none.
    """

    def __init__(self, config: NetworkConfig, n_classes: int) -> None:
        super().__init__()
        self.half_from, self.group_size = 0, config.group_size
        resolutions = config.block_resolutions[::-1]
        channels = [config.channels(resolution) for resolution in resolutions]
        width = channels[-1]
        self.from_rgb = Convolution(3, channels[0], 1, clamp=config.clamp)
        self.blocks: Sequence[ResidualBlock] = nn.ModuleList(  # type: ignore[assignment]  # a ModuleList of blocks
            ResidualBlock(n_in, n_out, resolution, clamp=config.clamp)
            for (n_in, n_out), resolution in zip(pairwise(channels), resolutions, strict=False)
        )
        self.convolution = Convolution(width + 1, width, 3, clamp=config.clamp)
        self.hidden = FullyConnected(width * 16, width, activate=True)
        self.out = FullyConnected(width, width if n_classes else 1)
        self.mapping = (
            Mapping(0, n_classes, width, _MAPPING_LAYERS, class_scale=config.class_scale) if n_classes else None
        )

    def forward(self, images: Tensor, labels: Tensor | None, parts: int = 1) -> Tensor:
        """Score images.

        Args:
            images: [N, 3, H, W].
            labels: [N] int64; None for an unconditional network.
            parts: the batch is so many batches in a row, which do not see each other.

        Returns:
            Logits [N, 1].
        """
        x = images.contiguous(memory_format=torch.channels_last)
        x = self.from_rgb(x.to(block_dtype(images.shape[-1], self.half_from, images.dtype)))
        for block in self.blocks:
            x = block(x.to(block_dtype(block.resolution, self.half_from, images.dtype)))
        x = append_minibatch_deviation(x.to(images.dtype), self.group_size, parts)
        x = self.out(self.hidden(self.convolution(x).flatten(1)))
        if self.mapping is None:
            return x
        target = self.mapping(None, self.mapping.class_embedding(labels))
        return (x * target).sum(dim=1, keepdim=True) / math.sqrt(x.shape[1])


def append_minibatch_deviation(x: Tensor, group_size: int = 4, parts: int = 1) -> Tensor:
    """Append the mean standard deviation over groups of images as one channel (arXiv 1710.10196, section 3).

    Of the n images of a part, image i belongs to the group of images i + k n / group_size. A group size of 0 is the
    whole part. [N, C, H, W] -> [N, C+1, H, W].
    """
    total, channels, height, width = x.shape
    n = total // parts
    size = min(group_size or n, n)
    groups = x.reshape(parts, size, n // size, channels, height, width)
    deviation = (groups.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=(2, 3, 4))  # [parts, n / size]
    deviation = deviation.repeat(1, size).reshape(total, 1, 1, 1)
    return torch.cat([x, deviation.expand(-1, 1, height, width)], dim=1)
