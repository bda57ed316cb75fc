"""The discriminator: residual blocks, minibatch standard deviation, projection on the class."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from gan.config import NetworkConfig
from gan.layers import Convolution, FullyConnected
from gan.mapping import Mapping

_RESIDUAL_GAIN = math.sqrt(0.5)
_MAPPING_LAYERS = 8
GROUP_SIZE = 4


class ResidualBlock(nn.Module):
    """Two convolutions and a linear skip, halving the resolution."""

    def __init__(self, n_in: int, n_out: int, *, clamp: float) -> None:
        super().__init__()
        self.first = Convolution(n_in, n_in, 3, clamp=clamp)
        self.second = Convolution(n_in, n_out, 3, down=True, gain=_RESIDUAL_GAIN, clamp=clamp)
        self.skip = Convolution(n_in, n_out, 1, down=True, gain=_RESIDUAL_GAIN, bias=False, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] -> [N, O, H/2, W/2]."""
        return self.skip(x) + self.second(self.first(x))


class Discriminator(nn.Module):
    """Scores images given their class (projection, arXiv 1802.05637; as wired in arXiv 2006.06676)."""

    def __init__(self, config: NetworkConfig, n_classes: int) -> None:
        super().__init__()
        resolutions = config.block_resolutions[::-1]
        channels = [config.channels(resolution) for resolution in resolutions]
        width = channels[-1]
        self.from_rgb = Convolution(3, channels[0], 1, clamp=config.clamp)
        self.blocks = nn.ModuleList(
            ResidualBlock(n_in, n_out, clamp=config.clamp) for n_in, n_out in pairwise(channels)
        )
        self.convolution = Convolution(width + 1, width, 3, clamp=config.clamp)
        self.hidden = FullyConnected(width * 16, width, activate=True)
        self.out = FullyConnected(width, width if n_classes else 1)
        self.mapping = (
            Mapping(0, n_classes, width, _MAPPING_LAYERS, class_scale=config.class_scale) if n_classes else None
        )

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Images [N, 3, H, W] and labels [N] int64 -> logits [N, 1]."""
        x = self.from_rgb(images.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            x = block(x)
        x = self.convolution(append_minibatch_deviation(x))
        x = self.out(self.hidden(x.flatten(1)))
        if self.mapping is None:
            return x
        target = self.mapping(None, self.mapping.class_embedding(labels))
        return (x * target).sum(dim=1, keepdim=True) / math.sqrt(x.shape[1])


def append_minibatch_deviation(x: Tensor) -> Tensor:
    """Append the mean standard deviation over groups of four images as one channel (arXiv 1710.10196, section 3).

    Image i belongs to the group of images i + k N/4. [N, C, H, W] -> [N, C+1, H, W].
    """
    n, channels, height, width = x.shape
    size = min(GROUP_SIZE, n)
    groups = x.reshape(size, n // size, channels, height, width)
    deviation = (groups.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    return torch.cat([x, deviation.repeat(size)[:, None, None, None].expand(-1, 1, height, width)], dim=1)
