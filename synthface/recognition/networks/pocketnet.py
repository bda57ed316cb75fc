"""PocketNet S and M (Boutros et al., arXiv 2108.10710): small networks of cells whose wiring was searched for.

The wiring is a fact of the paper; this code is written from its description.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synthface.recognition.network_config import NetworkConfig
from synthface.recognition.networks.prelu import PReLU

Edge = tuple[str, int]  # operation, and the state it reads: 0 and 1 are the cell's inputs, 2.. its nodes
NORMAL: tuple[tuple[Edge, Edge], ...] = (
    (("dw3", 0), ("dw1", 1)),
    (("dw3", 2), ("dw5", 0)),
    (("dw3", 3), ("dw3", 0)),
    (("dw3", 4), ("skip", 0)),
)
REDUCTION: tuple[tuple[Edge, Edge], ...] = (
    (("dw3", 1), ("dw7", 0)),
    (("skip", 2), ("dw5", 1)),
    (("max3", 0), ("skip", 2)),
    (("max3", 0), ("max3", 1)),
)
SHAPES = {"PocketNet-S": (16, 18), "PocketNet-M": (32, 9)}  # first channels, cells
_STEM_FACTOR = 4
_HEAD_CHANNELS = 512


class _Separable(nn.Module):
    """PReLU, depthwise convolution, pointwise convolution, batch norm."""

    norm_after = (("pointwise", "bn"),)

    def __init__(self, c_in: int, c_out: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.act = PReLU(c_in)
        self.depthwise = nn.Conv2d(c_in, c_in, kernel, stride=stride, padding=kernel // 2, groups=c_in, bias=False)
        self.pointwise = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.pointwise(self.depthwise(self.act(x))))


class _Halving(nn.Module):
    """Half the size by two 1x1 paths, of which the second starts one pixel in."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.act = PReLU(c_in)
        self.even, self.odd = (
            nn.Sequential(
                nn.Conv2d(c_in, c_in, 1, stride=2, groups=c_in, bias=False), nn.Conv2d(c_in, c_out // 2, 1, bias=False)
            )
            for _ in range(2)
        )
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(x)
        return self.bn(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))


def _operation(name: str, channels: int, stride: int) -> nn.Module:
    if name == "skip":
        return nn.Identity() if stride == 1 else _Halving(channels, channels)
    if name == "max3":
        return nn.Sequential(nn.MaxPool2d(3, stride=stride, padding=1), nn.BatchNorm2d(channels))
    return _Separable(channels, channels, int(name.removeprefix("dw")), stride=stride)


@dataclass(frozen=True)
class _CellShape:
    c_before_last: int
    c_last: int
    channels: int
    reduces: bool
    last_reduced: bool


class Cell(nn.Module):
    """Four nodes, each the sum of two operations on earlier states; the output holds all four."""

    def __init__(self, shape: _CellShape) -> None:
        super().__init__()
        c = shape.channels
        self.from_before_last: nn.Module = (
            _Halving(shape.c_before_last, c) if shape.last_reduced else _Separable(shape.c_before_last, c, 1)
        )
        self.from_last = _Separable(shape.c_last, c, 1)
        self.wiring = REDUCTION if shape.reduces else NORMAL
        # Only the cell's inputs are still large in a cell that reduces.
        self.operations = nn.ModuleList(
            _operation(name, c, 2 if shape.reduces and source < 2 else 1)
            for node in self.wiring
            for name, source in node
        )

    def forward(self, before_last: Tensor, last: Tensor) -> Tensor:
        """Outputs of the two cells before -> [N, 4 * channels, H, W]."""
        states = [self.from_before_last(before_last), self.from_last(last)]
        operations = iter(self.operations)
        for node in self.wiring:
            first, second = (next(operations)(states[source]) for _, source in node)
            states.append(first + second)
        return torch.cat(states[2:], dim=1)


class PocketNet(nn.Module):
    """Maps normalised faces to raw embeddings; ``config.architecture`` is PocketNet-S or PocketNet-M."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        channels, n_cells = SHAPES[config.architecture]
        c_before_last = c_last = _STEM_FACTOR * channels
        self.stem = nn.Sequential(nn.Conv2d(3, c_last, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(c_last))
        cells: list[nn.Module] = []
        last_reduced = False
        for k in range(n_cells):
            reduces = k in (n_cells // 3, 2 * n_cells // 3, n_cells - 1)
            channels *= 2 if reduces else 1
            cells.append(Cell(_CellShape(c_before_last, c_last, channels, reduces, last_reduced)))
            c_before_last, c_last, last_reduced = c_last, 4 * channels, reduces
        self.cells = nn.ModuleList(cells)
        height, width = (side // 16 for side in config.input_size)
        self.head = nn.Sequential(
            PReLU(c_last),
            nn.Conv2d(c_last, _HEAD_CHANNELS, 1, bias=False),
            nn.BatchNorm2d(_HEAD_CHANNELS),
            PReLU(_HEAD_CHANNELS),
            nn.Conv2d(_HEAD_CHANNELS, _HEAD_CHANNELS, (height, width), groups=_HEAD_CHANNELS, bias=False),
            nn.BatchNorm2d(_HEAD_CHANNELS),
            nn.Conv2d(_HEAD_CHANNELS, config.embedding_dim, 1, bias=False),
            nn.BatchNorm2d(config.embedding_dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images [N, 3, height, width] -> raw embeddings [N, D]."""
        before_last = last = self.stem(x)
        for cell in self.cells:
            before_last, last = last, cell(before_last, last)
        return self.head(last).flatten(1)
