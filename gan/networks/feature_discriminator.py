"""A discriminator that sees images through a frozen network (Projected GANs, Sauer et al., arXiv 2111.01007).

The frozen network's maps are mixed by random weights that are never trained, across channels and from coarse to fine
(section 3.2 there), so that no head can rest on a few of its features; each mixed map has a small head of its own.
Where the paper normalises the heads' weights by their spectra, they are equalised here, and R1 holds them, as it does
the ordinary discriminator: its gradient is that by the pixels, which also keeps the frozen network's blind spots from
being paid for. The class enters by projection (arXiv 1802.05637) beside a score that does not ask for it.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan.config import FeatureConfig
from gan.networks.discriminator import append_minibatch_deviation
from gan.networks.layers import Convolution, FullyConnected, normalize_second_moment
from gan.networks.mapping import Mapping

Features = Callable[[Tensor], Sequence[Tensor]]
_HEAD_SIDE = 4  # maps are halved down to this before they are scored


class RandomMixing(nn.Module):
    """Frozen random weights from a network's maps to maps that each hold something of all coarser ones.

    Args:
        channels: of the maps [N, C, r, r], finest first.
        most: channels of a mixed map, or as many as the map has if these are fewer.
    """

    def __init__(self, channels: Sequence[int], most: int) -> None:
        super().__init__()
        self.channels = [min(count, most) for count in channels]
        for index, (n_in, n_out) in enumerate(zip(channels, self.channels, strict=True)):
            self.register_buffer(f"across_{index}", _random_weight(n_out, n_in, 1))
        for index, (fine, coarse) in enumerate(pairwise(self.channels)):
            self.register_buffer(f"from_coarse_{index}", _random_weight(fine, coarse, 1))
            self.register_buffer(f"blend_{index}", _random_weight(fine, fine, 3))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Mix maps, finest first; whatever the scale of a map, it comes in at a mean square of one."""
        mixed: list[Tensor] = []
        for index in reversed(range(len(maps))):
            x = F.conv2d(_normalised(maps[index]), self.get_buffer(f"across_{index}"))
            if mixed:
                coarse = F.conv2d(mixed[-1], self.get_buffer(f"from_coarse_{index}"))
                x = x + F.interpolate(coarse, size=x.shape[2:], mode="nearest")
                x = F.conv2d(x * math.sqrt(0.5), self.get_buffer(f"blend_{index}"), padding=1)
            mixed.append(x)
        return mixed[::-1]


class Head(nn.Module):
    """Scores one mixed map: [N, C, r, r] -> [N, width], convolved down to 4 x 4 pixels if it is larger."""

    def __init__(self, channels: int, side: int, width: int, group_size: int) -> None:
        super().__init__()
        self.group_size = group_size
        n_halvings = max(0, int(math.log2(side / _HEAD_SIDE)))
        widths = [channels, *[width] * n_halvings]
        self.halvings = nn.Sequential(*(Convolution(a, b, 3, down=True) for a, b in pairwise(widths)))
        side //= 2**n_halvings
        self.convolution = Convolution(widths[-1] + 1, width, 3 if side > 1 else 1)
        self.hidden = FullyConnected(width * side**2, width, activate=True)

    def forward(self, x: Tensor, parts: int) -> Tensor:
        """Score; the batch is ``parts`` batches in a row, which do not see each other."""
        x = append_minibatch_deviation(self.halvings(x), self.group_size, parts)
        hidden: Tensor = self.hidden(self.convolution(x).flatten(1))
        return hidden


class FeatureDiscriminator(nn.Module):
    """Heads on the randomly mixed maps of a frozen network.

    Args:
        features: [N, 3, S, S] images about [-1, 1] -> maps [N, C, r, r], finest first, differentiable; an embedding is
            a map of one pixel. It is no part of the weights: a checkpoint does not hold it.
        shapes: (C, r) of each map; r is 1, 4 or a larger power of two.
        config: sizes.
        n_classes: 0 for none.
        class_scale: see ``NetworkConfig``.
        group_size: see ``NetworkConfig``.
    """

    def __init__(
        self,
        features: Features,
        shapes: Sequence[tuple[int, int]],
        config: FeatureConfig,
        n_classes: int,
        *,
        class_scale: float = 1.0,
        group_size: int = 4,
    ) -> None:
        super().__init__()
        self._features = (features,)  # in a tuple, so that its parameters do not become ours
        self.mixing = RandomMixing([channels for channels, _ in shapes], config.channels)
        width = config.width
        self.heads = nn.ModuleList(
            Head(channels, side, width, group_size)
            for channels, (_, side) in zip(self.mixing.channels, shapes, strict=True)
        )
        self.out = nn.ModuleList(FullyConnected(width, width + 1 if n_classes else 1) for _ in shapes)
        self.mapping = Mapping(0, n_classes, width, 0, class_scale=class_scale) if n_classes else None

    def forward(self, images: Tensor, labels: Tensor | None, parts: int = 1) -> Tensor:
        """Score images; arguments as for ``Discriminator``. Returns logits [N, number of maps]."""
        maps = self.mixing(self._features[0](images))
        scores = [out(head(mixed, parts)) for mixed, head, out in zip(maps, self.heads, self.out, strict=True)]
        if self.mapping is None:
            return torch.cat(scores, dim=1)
        target = self.mapping(None, self.mapping.class_embedding(labels)) / math.sqrt(scores[0].shape[1] - 1)
        return torch.stack([score[:, 0] + (score[:, 1:] * target).sum(dim=1) for score in scores], dim=1)


class DiscriminatorPair(nn.Module):
    """Two discriminators that judge side by side (as in Vision-aided GANs, arXiv 2112.09130): their logits in a row."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, images: Tensor, labels: Tensor | None, parts: int = 1) -> Tensor:
        """Score images; arguments as for ``Discriminator``. Returns logits [N, K]."""
        return torch.cat([self.first(images, labels, parts), self.second(images, labels, parts)], dim=1)


def _normalised(x: Tensor) -> Tensor:
    return normalize_second_moment(x.flatten(1)).view_as(x)


def _random_weight(n_out: int, n_in: int, kernel: int) -> Tensor:
    return torch.randn(n_out, n_in, kernel, kernel) / math.sqrt(n_in * kernel**2)
