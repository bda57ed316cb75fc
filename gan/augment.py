"""Differentiable augmentation of what the discriminator sees (arXiv 2006.06676, section 2 and appendix B).

Pixel blitting, geometric and colour transformations, each applied with probability p. Images are sampled bilinearly
with mirrored borders; the paper's wavelet low-pass around the geometric part is not here yet.
"""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

LUMA = 1 / math.sqrt(3.0)


def augment(images: Tensor, p: float, generator: Generator) -> Tensor:
    """Augment each image on its own.

    Args:
        images: [N, 3, H, W] in [-1, 1].
        p: probability of each transformation.
        generator: source of the random choices, on the CPU.

    Returns:
        [N, 3, H, W], differentiable in ``images``.
    """
    if p <= 0:
        return images
    draw = _Draw(len(images), p, generator)
    inverse = geometric_matrix(draw, images.shape[-1]).to(images)
    colour = colour_matrix(draw).to(images)
    return apply_colour(warp(images, inverse), colour)


class _Draw:
    """Random choices for N images: values where a transformation is on, its neutral value elsewhere."""

    def __init__(self, n: int, p: float, generator: Generator) -> None:
        self.n, self.p, self.generator = n, p, generator

    def on(self, value: Tensor, neutral: float, p: float | None = None) -> Tensor:
        chosen = torch.rand(self.n, generator=self.generator) < (self.p if p is None else p)
        return torch.where(chosen, value, torch.full_like(value, neutral))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(self.n, generator=self.generator) * (high - low) + low

    def normal(self) -> Tensor:
        return torch.randn(self.n, generator=self.generator)


def geometric_matrix(draw: _Draw, size: int) -> Tensor:
    """Return [N, 3, 3] maps from output to input positions, in units of half an image."""
    matrix = torch.eye(3).repeat(draw.n, 1, 1)
    flip = draw.on((draw.uniform() < 0.5).float(), 0.0)
    matrix = matrix @ _scale(1 - 2 * flip, torch.ones(draw.n))
    quarter = draw.on((draw.uniform() * 4).floor(), 0.0)
    matrix = matrix @ _rotate(quarter * (math.pi / 2))
    whole_x, whole_y = ((draw.on(draw.uniform(-0.125, 0.125), 0.0) * size).round() * (2 / size) for _ in range(2))
    matrix = matrix @ _translate(whole_x, whole_y)
    zoom = draw.on(torch.exp2(draw.normal() * 0.2), 1.0)
    matrix = matrix @ _scale(1 / zoom, 1 / zoom)
    p_rotation = 1 - math.sqrt(1 - min(draw.p, 1.0))  # two chances to rotate: together they have probability p
    matrix = matrix @ _rotate(draw.on(draw.uniform(-math.pi, math.pi), 0.0, p_rotation))
    stretch = draw.on(torch.exp2(draw.normal() * 0.2), 1.0)
    matrix = matrix @ _scale(1 / stretch, stretch)
    matrix = matrix @ _rotate(draw.on(draw.uniform(-math.pi, math.pi), 0.0, p_rotation))
    return matrix @ _translate(draw.on(draw.normal() * 0.25, 0.0), draw.on(draw.normal() * 0.25, 0.0))


def colour_matrix(draw: _Draw) -> Tensor:
    """Return [N, 4, 4] affine maps of (r, g, b, 1)."""
    n = draw.n
    identity = torch.eye(4).repeat(n, 1, 1)
    brightness = identity.clone()
    brightness[:, :3, 3] = draw.on(draw.normal() * 0.2, 0.0)[:, None]
    contrast = draw.on(torch.exp2(draw.normal() * 0.5), 1.0)
    matrix = _diagonal(contrast) @ brightness
    axis = torch.tensor([LUMA, LUMA, LUMA, 0.0])
    on_axis = torch.outer(axis, axis)
    mirror = draw.on((draw.uniform() < 0.5).float(), 0.0)[:, None, None]
    matrix = (identity - 2 * on_axis * mirror) @ matrix
    matrix = _hue_rotation(draw.on(draw.uniform(-math.pi, math.pi), 0.0)) @ matrix
    saturation = draw.on(torch.exp2(draw.normal()), 1.0)[:, None, None]
    return (on_axis + (identity - on_axis) * _keep_last(saturation)) @ matrix


def warp(images: Tensor, matrix: Tensor) -> Tensor:
    """Sample images [N, C, H, W] at positions mapped by [N, 3, 3]; borders are mirrored."""
    grid = F.affine_grid(matrix[:, :2], list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def apply_colour(images: Tensor, matrix: Tensor) -> Tensor:
    """Map the colours of [N, 3, H, W] by [N, 4, 4]."""
    flat = images.flatten(2)
    return (matrix[:, :3, :3] @ flat + matrix[:, :3, 3:]).reshape(images.shape)


def _scale(x: Tensor, y: Tensor) -> Tensor:
    return _stack([[x, 0, 0], [0, y, 0], [0, 0, 1]], x)


def _rotate(angle: Tensor) -> Tensor:
    c, s = angle.cos(), angle.sin()
    return _stack([[c, -s, 0], [s, c, 0], [0, 0, 1]], angle)


def _translate(x: Tensor, y: Tensor) -> Tensor:
    return _stack([[1, 0, x], [0, 1, y], [0, 0, 1]], x)


def _stack(rows: list[list[Tensor | int]], like: Tensor) -> Tensor:
    cells = [[cell if isinstance(cell, Tensor) else torch.full_like(like, cell) for cell in row] for row in rows]
    return torch.stack([torch.stack(row, dim=1) for row in cells], dim=1)


def _diagonal(value: Tensor) -> Tensor:
    one = torch.ones_like(value)
    return torch.diag_embed(torch.stack([value, value, value, one], dim=1))


def _keep_last(value: Tensor) -> Tensor:
    """[N, 1, 1] -> [N, 4, 4] factors: the value everywhere but in the last row and column."""
    factors = value.repeat(1, 4, 4)
    factors[:, 3, :] = 1
    factors[:, :, 3] = 1
    return factors


def _hue_rotation(angle: Tensor) -> Tensor:
    """Rotation of the colours about the grey axis, by Rodrigues' formula. [N] -> [N, 4, 4]."""
    k = torch.tensor([[0.0, -LUMA, LUMA], [LUMA, 0.0, -LUMA], [-LUMA, LUMA, 0.0]])
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    rotation = torch.eye(4).repeat(len(angle), 1, 1)
    rotation[:, :3, :3] = torch.eye(3) + s * k + (1 - c) * (k @ k)
    return rotation
