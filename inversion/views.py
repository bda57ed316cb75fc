"""Slightly moved views of each image, so that its identity does not hang on the exact place of a pixel."""

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from inversion.config import InversionConfig
from synthface.core.seeds import numpy_generator


def draw_views(config: InversionConfig, seed: int, members: Sequence[str]) -> NDArray[np.float32] | None:
    """Draw the views of all steps for the members of a group; nobody's views depend on the others.

    Returns:
        [steps, N, 2, 3] affine maps from view to image in ``affine_grid`` coordinates, or None where every view
        would be the image itself.
    """
    if not (config.flip or config.shift_pixels or config.scale or config.rotation_degrees):
        return None
    return np.stack([_views_of_one(config, numpy_generator(seed, "views", member)) for member in members], axis=1)


def _views_of_one(config: InversionConfig, generator: np.random.Generator) -> NDArray[np.float32]:
    n = config.steps
    mirror = np.where(generator.random(n) < 0.5, -1.0, 1.0) if config.flip else np.ones(n)
    shift = generator.integers(-config.shift_pixels, config.shift_pixels, size=(n, 2), endpoint=True)
    zoom = 1 + generator.uniform(-config.scale, config.scale, n)
    angle = np.deg2rad(generator.uniform(-config.rotation_degrees, config.rotation_degrees, n))
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    to_unit = 2 / 112  # affine_grid spans [-1, 1] over the image
    maps = np.empty((n, 2, 3), np.float32)
    maps[:, 0] = np.stack([mirror * cos, -mirror * sin, shift[:, 0] * to_unit], axis=1)
    maps[:, 1] = np.stack([sin, cos, shift[:, 1] * to_unit], axis=1)
    return maps


def apply_views(images: Tensor, maps: Tensor) -> Tensor:
    """Return the views of [N, C, H, W] images under [N, 2, 3] maps; beyond the border its pixels repeat.

    Rolling instead would carry the chin to the forehead.
    """
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
