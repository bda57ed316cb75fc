"""Noise and cutout."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gan.augment.draws import Draw

NOISE_STD = 0.1
CUTOUT_SIDE = 0.5  # of the image's


@dataclass(frozen=True)
class Noise:
    """Standard deviation [N] of the noise in each image, and unit noise of the images' shape if any has some."""

    deviation: Tensor
    unit: Tensor | None


@dataclass(frozen=True)
class Cutout:
    """Which images [N] lose a rectangle, and its centre [N, 2] in x and y, as shares of the side."""

    on: Tensor
    centre: Tensor


def draw_noise(draw: Draw, shape: torch.Size) -> Noise:
    """Choose the noise of each image; ``shape`` is that of one image."""
    deviation = draw.switched(draw.normal().abs() * NOISE_STD, 0)
    return Noise(deviation, draw.normal(*shape) if deviation.any() else None)


def add_noise(images: Tensor, noise: Noise) -> Tensor:
    """Add the noise to [N, C, H, W]."""
    if noise.unit is None:
        return images
    return images + (noise.unit * noise.deviation[:, None, None, None]).to(images)


def draw_cutout(draw: Draw) -> Cutout:
    """Choose the rectangle of each image."""
    return Cutout(on=draw.switched(torch.ones(draw.n), 0).bool(), centre=draw.uniform(0, 1, 2))


def cut_out(images: Tensor, cutout: Cutout) -> Tensor:
    """Set a square of half the side to 0, as far as it lies within [N, C, H, W]."""
    if not cutout.on.any():
        return images
    height, width = images.shape[2:]
    in_x, in_y = (
        ((torch.arange(side) + 0.5) / side - centre[:, None]).abs() < CUTOUT_SIDE / 2
        for side, centre in zip((width, height), cutout.centre.unbind(dim=1), strict=True)
    )
    inside = in_y[:, :, None] & in_x[:, None, :] & cutout.on[:, None, None]
    return images * (~inside)[:, None].to(images)
