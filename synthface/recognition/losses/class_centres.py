"""Class centres as a parameter, and where centres begin."""

import torch
from torch import Tensor, nn

from synthface.recognition.losses.columns import Columns

_SPREAD = 0.01  # only the direction of a centre counts when it is normalised; small centres turn fast at first
_ROWS_AT_ONCE = 16_384  # a multiple of 16: torch draws normal numbers by sixteens, so blocks continue each other


class ClassCentres(nn.Module):
    """Centres [C, D] (or [C, K, D]) as a parameter; every class takes part in every step, in every process."""

    is_spread = False

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn_centres(shape, seed))

    def gather(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings and labels that are compared with the centres here: this process's own."""
        return x, y

    def forward(self, y: Tensor) -> tuple[Tensor, Columns]:
        """Return the centres that take part, and where among them the labels [B] are."""
        return self.weight, Columns(y)


def drawn_centres(shape: tuple[int, ...], seed: int, rows: range | None = None) -> Tensor:
    """Return some rows of the centres [C, ...] that a seed stands for, in memory for these rows alone."""
    rows = range(shape[0]) if rows is None else rows
    generator = torch.Generator().manual_seed(seed)
    kept = torch.empty((len(rows), *shape[1:]))
    for first in range(0, rows.stop, _ROWS_AT_ONCE):
        block = torch.randn((min(_ROWS_AT_ONCE, shape[0] - first), *shape[1:]), generator=generator)
        start, stop = max(first, rows.start), min(first + len(block), rows.stop)
        if start < stop:
            kept[start - rows.start : stop - rows.start] = block[start - first : stop - first]
    return kept.mul_(_SPREAD)
