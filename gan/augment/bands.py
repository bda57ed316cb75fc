"""Amplification of frequency bands, each image by its own gains."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gan.augment.draws import Draw
from gan.augment.operators import band_filters

GAIN_STD = 1.0  # of log2
_POWER = torch.tensor([10.0, 1.0, 1.0, 1.0]) / 13  # expected in each band of a natural image


@dataclass(frozen=True)
class Bands:
    """Gains [N, 4] of the four frequency bands, lowest first, before their power is normalised."""

    gains: Tensor


def draw_bands(draw: Draw) -> Bands:
    """Choose the gains of each image."""
    return Bands(torch.stack([draw.switched(torch.exp2(draw.normal() * GAIN_STD), 1) for _ in _POWER], dim=1))


def normalised_gains(bands: Bands) -> Tensor:
    """Return [N, 4]: the bands are amplified one after the other, each time at the same expected total power."""
    single = torch.where(torch.eye(4, dtype=torch.bool), bands.gains[:, None], 1.0)  # [N, band in turn, band]
    return (single / (single.square() @ _POWER).sqrt()[..., None]).prod(dim=1)


def filter_bands(images: Tensor, bands: Bands) -> Tensor:
    """Filter the rows and columns of [N, C, H, W]; images with neutral gains stay as they are."""
    chosen = (bands.gains != 1).any(dim=1).nonzero()[:, 0]
    if len(chosen) == 0:
        return images
    gains = normalised_gains(Bands(bands.gains[chosen]))
    rows, columns = (
        torch.einsum("nb,bij->nij", gains, torch.from_numpy(band_filters(side)).to(gains)) for side in images.shape[2:]
    )
    index = chosen.to(images.device)
    return images.index_copy(0, index, _filter_each(images[index], rows.to(images), columns.to(images)))


def _filter_each(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return rows[:, None] @ images @ columns[:, None].transpose(2, 3)
