"""Resampling of images at moved positions, low-pass filtered on both sides (arXiv 2006.06676, appendix B)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gan.augment.operators import OVERHANG, Matrix, halving, mirrored_doubling


class Margins(NamedTuple):
    """Mirrored pixels on each side of an image."""

    left: int
    top: int
    right: int
    bottom: int


def warp(images: Tensor, positions: Tensor) -> Tensor:
    """Move the pixels of each image: mirror, double, sample bilinearly, halve.

    Images whose map is the identity are left as they are, which is also what resampling would give. Borders are
    mirrored as far as the maps of the batch read, but not further than one image on each side; 0 lies beyond.

    Args:
        images: [N, C, H, W].
        positions: [N, 3, 3] maps from positions in the result to positions in the image, both (x, y, 1) in pixels
            from the centre; on the CPU.
    """
    moved = (positions != torch.eye(3)).flatten(1).any(dim=1).nonzero()[:, 0]
    if len(moved) == 0:
        return images
    if len(moved) == len(images):
        return _resample(images, positions)
    index = moved.to(images.device)
    return images.index_copy(0, index, _resample(images[index], positions[moved]))


def needed_margins(positions: Tensor, width: int, height: int) -> Margins:
    """Return the mirrored pixels that any of the maps [N, 3, 3] reads."""
    # Samples of the result reach OVERHANG beyond it; each reads two neighbours half a pixel apart, and each of those
    # is a sum of pixels up to OVERHANG away.
    half = torch.tensor([(width - 1) / 2, (height - 1) / 2])
    signs = torch.tensor([[-1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, -1.0, 1.0]])
    corners = torch.cat([signs * (half + OVERHANG)[:, None], torch.ones(1, 4)])
    reached = (positions[:, :2] @ corners).transpose(0, 1).flatten(1)  # [2, 4N]
    beyond = torch.cat([-reached.amin(dim=1), reached.amax(dim=1)]) - half.repeat(2) + OVERHANG + 0.5
    limits = (width - 1, height - 1) * 2
    return Margins(
        *(min(max(pixels, 0), limit) for pixels, limit in zip(beyond.ceil().int().tolist(), limits, strict=True))
    )


def _resample(images: Tensor, positions: Tensor) -> Tensor:
    height, width = images.shape[2:]
    left, top, right, bottom = needed_margins(positions, width, height)
    fine = apply_along_axes(images, mirrored_doubling(height, top, bottom), mirrored_doubling(width, left, right))
    # Sample 2j of a fine grid lies on pixel j; grid_sample calls the outer edges of ``fine`` -1 and 1.
    to_pixels = _affine((0.5, 0.5), (-OVERHANG - (width - 1) / 2, -OVERHANG - (height - 1) / 2))
    to_samples = _affine((2, 2), (2 * left + width - 1, 2 * top + height - 1))
    sides = fine.shape[3], fine.shape[2]
    to_units = _affine((2 / sides[0], 2 / sides[1]), (1 / sides[0] - 1, 1 / sides[1] - 1))
    maps = (to_units @ to_samples @ positions @ to_pixels).to(images)
    grid = _places(maps, 2 * (width + 2 * OVERHANG), 2 * (height + 2 * OVERHANG))
    sampled = F.grid_sample(fine, grid, align_corners=False)
    return apply_along_axes(sampled, halving(height), halving(width))


def _affine(scale: tuple[float, float], offset: tuple[float, float]) -> Tensor:
    return torch.tensor([[scale[0], 0, offset[0]], [0, scale[1], offset[1]], [0, 0, 1]], dtype=torch.float32)


def _places(maps: Tensor, width: int, height: int) -> Tensor:
    """Map every place (x, y) of a grid by [N, 3, 3]: [N, height, width, 2]."""
    x, y = (torch.arange(side).to(maps) for side in (width, height))
    across = maps[:, None, None, :2, 0] * x[:, None]
    down = maps[:, None, None, :2, 1] * y[:, None, None] + maps[:, None, None, :2, 2]
    return across + down


def apply_along_axes(images: Tensor, rows: Matrix | Tensor, columns: Matrix | Tensor) -> Tensor:
    """Apply matrices along the axes of [N, C, H, W]: ``rows`` [H', H] to every column, ``columns`` [W', W] to rows."""
    left, right = (torch.as_tensor(matrix).to(images) for matrix in (rows, columns))
    n, channels, height, width = images.shape
    across = images.reshape(-1, width) @ right.T  # one large product is faster than a batch of small ones
    return left @ across.reshape(n, channels, height, -1)
