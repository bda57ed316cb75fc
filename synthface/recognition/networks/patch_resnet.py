"""PatchResNet: a small residual network of dense convolutions, made to be trained on a CPU.

Depthwise convolutions save operations that a CPU does not miss: they run at its memory's speed. This network spends
its operations in dense 3x3 convolutions on a quarter of the resolution instead (docs/recognition.md has the speeds,
``scripts/bench_recognition.py`` measures them). The stem reads patches of 4x4 pixels
(as in ConvNeXt, arXiv 2201.03545, section 2.3), the blocks are those of ResNet (arXiv 1512.03385, section 3.3), and the
last map is weighed place by place as in MobileFaceNet (arXiv 1804.07573, section 3.1).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthface.recognition.network_config import NetworkConfig

CHANNELS = (32, 64, 128)  # of the three stages at width 1; each has half the side of the one before
BLOCKS = 2  # of each stage
PATCH = 4  # pixels a side
_SLOPE = 0.1  # of the leaky ReLUs below 0
_TOTAL_STRIDE = 16


def _leaky_relu(x: Tensor) -> Tensor:
    if torch.compiler.is_compiling() and torch.is_grad_enabled():
        # The same without a comparison, whose outcomes a compiled graph would write out for the way back.
        return (1 + _SLOPE) / 2 * x + (1 - _SLOPE) / 2 * x.abs()
    return F.leaky_relu(x, _SLOPE)


class ResidualBlock(nn.Module):
    """3x3 (with the stride) - BN - leaky ReLU - 3x3 - BN, a skip, and a leaky ReLU of the sum."""

    norm_after = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, c_in: int, c_out: int, *, stride: int, bn_eps: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out, eps=bn_eps)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out, eps=bn_eps)
        self.downsample: nn.Module | None = None
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False), nn.BatchNorm2d(c_out, eps=bn_eps)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C_out, H / stride, W / stride]."""
        y = self.bn2(self.conv2(_leaky_relu(self.bn1(self.conv1(x)))))
        return _leaky_relu(y + (x if self.downsample is None else self.downsample(x)))


class PatchResNet(nn.Module):
    """Maps normalised faces to raw (not unit) embeddings."""

    norm_after = (("stem", "stem_bn"), ("gdc", "gdc_bn"), ("embed", "embed_bn"))

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        eps = config.bn_eps
        channels = [max(8, round(c * config.width / 8) * 8) for c in CHANNELS]
        self.stem = nn.Conv2d(3, channels[0], PATCH, stride=PATCH, bias=False)
        self.stem_bn = nn.BatchNorm2d(channels[0], eps=eps)
        blocks, c_in = [], channels[0]
        for stage, c_out in enumerate(channels):
            for block in range(BLOCKS):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(ResidualBlock(c_in, c_out, stride=stride, bn_eps=eps))
                c_in = c_out
        self.blocks = nn.Sequential(*blocks)
        height, width = (side // _TOTAL_STRIDE for side in config.input_size)
        self.gdc = nn.Conv2d(c_in, c_in, (height, width), groups=c_in, bias=False)
        self.gdc_bn = nn.BatchNorm2d(c_in, eps=eps)
        self.embed = nn.Linear(c_in, config.embedding_dim, bias=False)
        self.embed_bn = nn.BatchNorm1d(config.embedding_dim, eps=config.embed_bn_eps)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images [N, 3, height, width] -> raw embeddings [N, D]."""
        x = _leaky_relu(self.stem_bn(self.stem(x)))
        x = self.gdc_bn(self.gdc(self.blocks(x)))
        return self.embed_bn(self.embed(x.flatten(1)))
