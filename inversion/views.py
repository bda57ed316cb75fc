"""Slightly moved views of each image, so that its identity does not hang on the exact place or tone of a pixel."""

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from inversion.config import SIDE, InversionConfig
from synthface.core.seeds import numpy_generator

_WIDTH = 10  # numbers a view: 6 of the affine map, contrast of 3 channels, brightness


def draw_views(config: InversionConfig, seed: int, members: Sequence[str]) -> NDArray[np.float32] | None:
    """Draw the views of all steps for the members of a group; nobody's views depend on the others.

    Returns:
        [steps, K, N, 10], or None where every view would be the image itself: the affine map from view to image in
        ``affine_grid`` coordinates, row by row, the contrast of each channel, the brightness.
    """
    moves = config.flip or config.shift_pixels or config.scale or config.rotation_degrees
    if not (moves or config.colour):
        return None
    return np.stack([_views_of_one(config, numpy_generator(seed, "views", member)) for member in members], axis=2)


def _views_of_one(config: InversionConfig, generator: np.random.Generator) -> NDArray[np.float32]:
    size = (config.steps, config.views)
    mirror = np.where(generator.random(size) < 0.5, -1.0, 1.0) if config.flip else np.ones(size)
    mirror[: round(config.flip_from * config.steps)] = 1
    shift = generator.integers(-config.shift_pixels, config.shift_pixels, size=(*size, 2), endpoint=True)
    zoom = 1 + generator.uniform(-config.scale, config.scale, size)
    angle = np.deg2rad(generator.uniform(-config.rotation_degrees, config.rotation_degrees, size))
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    to_unit = 2 / SIDE  # affine_grid spans [-1, 1] over the image
    views = np.empty((*size, _WIDTH), np.float32)
    views[..., 0:3] = np.stack([mirror * cos, -mirror * sin, shift[..., 0] * to_unit], axis=-1)
    views[..., 3:6] = np.stack([sin, cos, shift[..., 1] * to_unit], axis=-1)
    common = generator.uniform(-config.colour, config.colour, (*size, 1))
    views[..., 6:9] = 1 + common + generator.uniform(-config.colour / 2, config.colour / 2, (*size, 3))
    views[..., 9] = generator.uniform(-config.colour, config.colour, size)
    return views


def apply_views(images: Tensor, views: Tensor) -> Tensor:
    """Return the views of [N, C, H, W] images, [K N, C, H, W] with all first views first.

    Beyond the border its pixels repeat; rolling instead would carry the chin to the forehead.

    Args:
        images: [N, C, H, W]; C is 3, or 1 for the mean contrast of the three.
        views: [K, N, 10], one step of ``draw_views``.
    """
    flat = views.flatten(0, 1)
    repeated = images.repeat(len(views), 1, 1, 1)
    grid = F.affine_grid(flat[:, :6].view(-1, 2, 3), list(repeated.shape), align_corners=False)
    moved = F.grid_sample(repeated, grid, mode="bilinear", padding_mode="border", align_corners=False)
    contrast = flat[:, 6:9] if images.shape[1] == 3 else flat[:, 6:9].mean(1, keepdim=True)
    return moved * contrast[..., None, None] + flat[:, 9, None, None, None]
