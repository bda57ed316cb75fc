"""Augmented training images; what happens to one depends on (seed, epoch, its place in the epoch) and nothing else."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from synthface.core.seeds import numpy_generator


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far images are changed; every amount is drawn uniformly up to its bound.

    Args:
        flip: probability of mirroring.
        rotate_degrees: largest turn either way.
        zoom: largest relative change of size either way.
        shift: largest shift either way, as a share of the side.
        light: largest relative change of brightness, and of contrast, either way.
        grey: probability of losing the colours.
        erase: probability of a grey rectangle (a quarter to a half of each side) somewhere.
    """

    flip: float = 0.5
    rotate_degrees: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    light: float = 0.0
    grey: float = 0.0
    erase: float = 0.0


PRESETS = {
    "none": Augmentation(flip=0.0),
    "flip": Augmentation(),
    "light": Augmentation(rotate_degrees=5, zoom=0.05, shift=0.04, light=0.2, grey=0.1),
    "strong": Augmentation(rotate_degrees=10, zoom=0.1, shift=0.06, light=0.4, grey=0.2, erase=0.3),
}
_N_DRAWS = 11


class EpochAugmentation:
    """The draws of one epoch, one row a place in its order: an image that comes twice is changed twice."""

    def __init__(self, augmentation: Augmentation, n_places: int, *, seed: int, epoch: int) -> None:
        self._augmentation = augmentation
        self._draws = numpy_generator(seed, "augment", epoch).random((n_places, _N_DRAWS), dtype=np.float32)

    def __call__(
        self, images: NDArray[np.uint8], places: NDArray[np.int64], device: torch.device | str = "cpu"
    ) -> Tensor:
        """Return [B, 3, S, S] float in [-1, 1] from [B, S, S, 3] uint8, changed by the draws of their places.

        Computed on the device, which gets a byte a value: an accelerator does not wait for the host's arithmetic.
        """
        bounds, draws = self._augmentation, torch.from_numpy(self._draws[places]).to(device)
        flipped = draws[:, 0] < bounds.flip
        stored, moves = torch.from_numpy(images).to(device), bounds.rotate_degrees or bounds.zoom or bounds.shift
        if not moves:  # bytes are mirrored several times faster than the floats they become
            rows = flipped.nonzero()[:, 0]
            stored = stored.index_copy(0, rows, stored[rows].flip(2))
        x = stored.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        if moves:
            x = _move(x, draws[:, 1:5] * 2 - 1, bounds, flipped)
        if bounds.light:
            brightness, contrast = (draws[:, 5:7] * 2 - 1).T[:, :, None, None, None] * bounds.light
            mean = x.mean(dim=(1, 2, 3), keepdim=True)
            x = (x - mean) * (1 + contrast) + mean + brightness
        if bounds.grey:
            grey = (draws[:, 7] < bounds.grey)[:, None, None, None]
            x = torch.where(grey, _luma(x), x)
        if bounds.erase:
            x = _erase(x, draws[:, 8:11], bounds.erase)
        return x.clamp_(-1, 1).contiguous(memory_format=torch.channels_last)


def epoch_order(n_images: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order in which an epoch visits the images."""
    return numpy_generator(seed, "order", epoch).permutation(n_images)


def _move(x: Tensor, draws: Tensor, bounds: Augmentation, flipped: Tensor) -> Tensor:
    """Turn, zoom, shift and mirror in one resampling."""
    angle = draws[:, 0] * (bounds.rotate_degrees * torch.pi / 180)
    size = 1 + draws[:, 1] * bounds.zoom
    mirror = 1 - 2 * flipped.float()
    theta = torch.stack(
        (
            torch.stack((mirror * angle.cos() * size, -angle.sin() * size, draws[:, 2] * 2 * bounds.shift), dim=1),
            torch.stack((mirror * angle.sin() * size, angle.cos() * size, draws[:, 3] * 2 * bounds.shift), dim=1),
        ),
        dim=1,
    )
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def _luma(x: Tensor) -> Tensor:
    weights = x.new_tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)  # ITU-R BT.601
    return (x * weights).sum(dim=1, keepdim=True)


def _erase(x: Tensor, draws: Tensor, probability: float) -> Tensor:
    side = x.shape[-1]
    # The first draw decides whether, and, rescaled to [0, 1), how large; the others decide where.
    extent = (0.25 + 0.25 * (draws[:, 0] / probability).clamp(max=1)) * side
    places = torch.arange(side, dtype=x.dtype, device=x.device)
    inside = []
    for draw in (draws[:, 1], draws[:, 2]):
        start = draw * (side - extent)
        inside.append((places >= start[:, None]) & (places < (start + extent)[:, None]))
    erased = (
        inside[0][:, None, :, None] & inside[1][:, None, None, :] & (draws[:, 0] < probability)[:, None, None, None]
    )
    return x.masked_fill(erased, 0.0)
