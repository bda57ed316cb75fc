"""Pixel blitting and general geometric transformations, as one map of positions an image."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gan.augment.draws import Draw

SHIFT_RANGE = 0.125  # of the side
ZOOM_STD = 0.2  # of log2
STRETCH_STD = 0.2  # of log2
SHIFT_STD = 0.125  # of the side


@dataclass(frozen=True)
class Blits:
    """Transformations that move whole pixels.

    Attributes:
        mirrored: [N] 1 to mirror left and right, else 0.
        quarter_turns: [N] 0 to 3.
        shift: [N, 2] in x and y, as shares of the side; rounded to whole pixels.
    """

    mirrored: Tensor
    quarter_turns: Tensor
    shift: Tensor


@dataclass(frozen=True)
class Warps:
    """Transformations that fall between pixels; angles in radians.

    Attributes:
        zoom: [N] factor of both directions.
        first_angle: [N] rotation before the stretch.
        stretch: [N] factor of x and divisor of y.
        second_angle: [N] rotation after the stretch.
        shift: [N, 2] in x and y, as shares of the side.
    """

    zoom: Tensor
    first_angle: Tensor
    stretch: Tensor
    second_angle: Tensor
    shift: Tensor


def draw_blits(draw: Draw) -> Blits:
    """Choose the blits of each image."""
    return Blits(
        mirrored=draw.switched(draw.integer(2), 0),
        quarter_turns=draw.switched(draw.integer(4), 0),
        shift=draw.switched(draw.uniform(-SHIFT_RANGE, SHIFT_RANGE, 2), 0),
    )


def draw_warps(draw: Draw) -> Warps:
    """Choose the warps of each image."""
    p_angle = 1 - math.sqrt(1 - draw.p)  # two chances to rotate: together they have probability p
    return Warps(
        zoom=draw.switched(torch.exp2(draw.normal() * ZOOM_STD), 1),
        first_angle=draw.switched(draw.uniform(-math.pi, math.pi), 0, p_angle),
        stretch=draw.switched(torch.exp2(draw.normal() * STRETCH_STD), 1),
        second_angle=draw.switched(draw.uniform(-math.pi, math.pi), 0, p_angle),
        shift=draw.switched(draw.normal(2) * SHIFT_STD, 0),
    )


def blit_positions(blits: Blits, size: int) -> Tensor:
    """Return [N, 3, 3] maps from positions in the result to positions in the image.

    Positions are (x, y, 1) in pixels from the centre.
    """
    shift = (blits.shift * size).round()
    mirror = _scale(1 - 2 * blits.mirrored, torch.ones_like(blits.mirrored))
    return mirror @ _rotate(blits.quarter_turns * (math.pi / 2)) @ _translate(-shift)


def warp_positions(warps: Warps, size: int) -> Tensor:
    """Return [N, 3, 3] maps as ``blit_positions`` does."""
    return (
        _scale(1 / warps.zoom, 1 / warps.zoom)
        @ _rotate(warps.first_angle)
        @ _scale(1 / warps.stretch, warps.stretch)
        @ _rotate(warps.second_angle)
        @ _translate(-warps.shift * size)
    )


def _scale(x: Tensor, y: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], dim=1))


def _rotate(angle: Tensor) -> Tensor:
    matrix = torch.eye(3).repeat(len(angle), 1, 1)
    matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos()
    matrix[:, 1, 0] = angle.sin()
    matrix[:, 0, 1] = -angle.sin()
    return matrix


def _translate(shift: Tensor) -> Tensor:
    matrix = torch.eye(3).repeat(len(shift), 1, 1)
    matrix[:, :2, 2] = shift
    return matrix
