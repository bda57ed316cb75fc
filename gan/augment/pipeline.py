"""The augmentation pipeline: which groups of transformations, in which order."""

from torch import Generator, Tensor

from gan.augment.bands import draw_bands, filter_bands
from gan.augment.colour import draw_colours, recolour
from gan.augment.corruption import add_noise, cut_out, draw_cutout, draw_noise
from gan.augment.draws import Draw
from gan.augment.geometric import blit_positions, draw_blits, draw_warps, warp_positions
from gan.augment.warp import warp
from gan.config import AugmentationGroups

_MEMBERS: dict[AugmentationGroups, tuple[str, ...]] = {
    "bg": ("blit", "geom"),
    "bgc": ("blit", "geom", "colour"),
    "bgcf": ("blit", "geom", "colour", "filter"),
    "bgcfn": ("blit", "geom", "colour", "filter", "noise"),
    "bgcfnc": ("blit", "geom", "colour", "filter", "noise", "cutout"),
}


def augment(images: Tensor, p: float, generator: Generator, groups: AugmentationGroups = "bgc") -> Tensor:
    """Augment each image on its own.

    Args:
        images: [N, 3, H, W] in [-1, 1].
        p: probability of each transformation, from 0 to 1; at 0 the images themselves are returned.
        generator: source of the random choices, on the CPU.
        groups: transformations that take part, see ``AdaConfig``.

    Returns:
        [N, 3, H, W], differentiable any number of times in ``images``.
    """
    if p <= 0:
        return images
    draw, members = Draw(len(images), p, generator), _MEMBERS.get(groups, (groups,))
    images = _move(images, draw, members)
    if "colour" in members:
        images = recolour(images, draw_colours(draw))
    if "filter" in members:
        images = filter_bands(images, draw_bands(draw))
    if "noise" in members:
        images = add_noise(images, draw_noise(draw, images.shape[1:]))
    if "cutout" in members:
        images = cut_out(images, draw_cutout(draw))
    return images


def _move(images: Tensor, draw: Draw, members: tuple[str, ...]) -> Tensor:
    """Blit and warp in one resampling."""
    size, positions = images.shape[-1], None
    if "blit" in members:
        positions = blit_positions(draw_blits(draw), size)
    if "geom" in members:
        general = warp_positions(draw_warps(draw), size)
        positions = general if positions is None else positions @ general
    return images if positions is None else warp(images, positions)
