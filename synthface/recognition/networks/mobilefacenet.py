"""MobileFaceNet (Chen et al. 2018, arXiv 1804.07573), in the published shapes and in smaller ones."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synthface.recognition.network_config import NetworkConfig
from synthface.recognition.networks.prelu import PReLU

# (expansion, output channels, repeats, stride of the first): Table 1 of the paper.
BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
TOTAL_STRIDE = 16


@dataclass(frozen=True)
class _Conv:
    """Shape of one convolution: kernel (height, width), stride, padding, groups."""

    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: int = 0
    groups: int = 1


class ConvUnit(nn.Module):
    """Convolution without bias, batch norm and, unless linear, PReLU per channel."""

    norm_after = (("conv", "bn"),)

    def __init__(self, c_in: int, c_out: int, conv: _Conv, *, bn_eps: float, linear: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            c_in, c_out, conv.kernel, stride=conv.stride, padding=conv.padding, groups=conv.groups, bias=False
        )
        self.bn = nn.BatchNorm2d(c_out, eps=bn_eps)
        self.act: nn.Module = nn.Identity() if linear else PReLU(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C_out, H', W']."""
        return self.act(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """Inverted residual: 1x1 expansion, 3x3 depthwise, linear 1x1 projection; a skip where the shape stays."""

    def __init__(self, c_in: int, c_out: int, *, expansion: int, stride: int, bn_eps: float) -> None:
        super().__init__()
        wide = c_in * expansion
        self.expand = ConvUnit(c_in, wide, _Conv(), bn_eps=bn_eps)
        self.depthwise = ConvUnit(wide, wide, _depthwise_3x3(wide, stride), bn_eps=bn_eps)
        self.project = ConvUnit(wide, c_out, _Conv(), bn_eps=bn_eps, linear=True)
        self.skip = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C_out, H / stride, W / stride]."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.skip else y


class MobileFaceNet(nn.Module):
    """Maps normalised faces to raw (not unit) embeddings; attribute names are those of the weight files."""

    norm_after = (("embed", "embed_bn"),)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        eps = config.bn_eps
        c = _scaled(64, config.width)
        self.stem = ConvUnit(3, c, _Conv((3, 3), stride=2, padding=1), bn_eps=eps)
        self.stem_dw = ConvUnit(c, c, _depthwise_3x3(c, stride=1), bn_eps=eps)
        blocks = []
        for expansion, channels, repeats, first_stride in BOTTLENECKS:
            for repeat in range(repeats):
                c_out, stride = _scaled(channels, config.width), first_stride if repeat == 0 else 1
                blocks.append(Bottleneck(c, c_out, expansion=expansion, stride=stride, bn_eps=eps))
                c = c_out
        self.blocks = nn.Sequential(*blocks)
        c_head = _scaled(512, config.width)
        self.head = ConvUnit(c, c_head, _Conv(), bn_eps=eps)
        # "Global depthwise convolution": a learnt weight for each place of the last map, instead of a mean.
        height, width = (side // TOTAL_STRIDE for side in config.input_size)
        self.gdc = ConvUnit(c_head, c_head, _Conv((height, width), groups=c_head), bn_eps=eps, linear=True)
        self.embed = nn.Linear(c_head, config.embedding_dim, bias=config.embed_bias)
        self.embed_bn = nn.BatchNorm1d(config.embedding_dim, eps=config.embed_bn_eps)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images [N, 3, height, width] -> raw embeddings [N, D]."""
        x = self.stem_dw(self.stem(x))
        x = self.gdc(self.head(self.blocks(x)))
        return self.embed_bn(self.embed(x.flatten(1)))


def initialise(network: nn.Module, seed: int) -> None:
    """Draw fresh weights from a seed: He-normal convolutions (fan-out), Xavier linear map, PReLU slope 0.25."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _depthwise_3x3(channels: int, stride: int) -> _Conv:
    return _Conv((3, 3), stride=stride, padding=1, groups=channels)


def _scaled(channels: int, width: float) -> int:
    """Scale a channel count, to a multiple of 8 so that vector units stay full."""
    return max(8, round(channels * width / 8) * 8)
