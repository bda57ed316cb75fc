"""Colour transformations, as one affine map of (r, g, b) an image."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gan.augment.draws import Draw

BRIGHTNESS_STD = 0.2
CONTRAST_STD = 0.5  # of log2
SATURATION_STD = 1.0  # of log2
_GREY = 1 / math.sqrt(3.0)  # each component of the unit vector along the grey axis


@dataclass(frozen=True)
class Colours:
    """Transformations of colour, in the order in which they apply.

    Attributes:
        brightness: [N] summand.
        contrast: [N] factor.
        luma_flip: [N] 1 to mirror at the plane of no luma, else 0.
        hue: [N] rotation about the grey axis, in radians.
        saturation: [N] factor of the distance from the grey axis.
    """

    brightness: Tensor
    contrast: Tensor
    luma_flip: Tensor
    hue: Tensor
    saturation: Tensor


def draw_colours(draw: Draw) -> Colours:
    """Choose the colour transformations of each image."""
    return Colours(
        brightness=draw.switched(draw.normal() * BRIGHTNESS_STD, 0),
        contrast=draw.switched(torch.exp2(draw.normal() * CONTRAST_STD), 1),
        luma_flip=draw.switched(draw.integer(2), 0),
        hue=draw.switched(draw.uniform(-math.pi, math.pi), 0),
        saturation=draw.switched(torch.exp2(draw.normal() * SATURATION_STD), 1),
    )


def recolour(images: Tensor, colours: Colours) -> Tensor:
    """Transform the colours of [N, 3, H, W]."""
    matrix, offset = colour_map(colours)
    if torch.equal(matrix, torch.eye(3).expand_as(matrix)) and not offset.any():
        return images
    return torch.baddbmm(offset.to(images)[..., None], matrix.to(images), images.flatten(2)).reshape(images.shape)


def colour_map(colours: Colours) -> tuple[Tensor, Tensor]:
    """Return matrices [N, 3, 3] and summands [N, 3]."""
    along_grey = torch.full((3, 3), _GREY**2)  # projection on the grey axis
    across = torch.eye(3) - along_grey
    turn = torch.tensor([[0.0, -_GREY, _GREY], [_GREY, 0.0, -_GREY], [-_GREY, _GREY, 0.0]])  # cross product with it
    hue, saturation = colours.hue[:, None, None], colours.saturation[:, None, None]
    luma = (1 - 2 * colours.luma_flip)[:, None, None]
    # Luma flip, rotation and saturation all leave the grey axis and the plane across it to themselves.
    matrix = luma * along_grey + saturation * (hue.cos() * across + hue.sin() * turn)
    matrix = matrix * colours.contrast[:, None, None]
    return matrix, matrix @ torch.ones(3) * colours.brightness[:, None]
