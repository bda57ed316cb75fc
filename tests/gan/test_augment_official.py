"""Every group of the augmentation against what the official pipeline computed (see fixtures/README.md).

Its debugging mode takes one number q for all random parameters: the quantile q of the uniform ones, and the inverse
error function of 2q - 1 times the deviation for the normal ones. Here our functions apply the same parameters.
"""

import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch import Tensor

from gan.augment.bands import GAIN_STD, Bands, filter_bands
from gan.augment.colour import BRIGHTNESS_STD, CONTRAST_STD, SATURATION_STD, Colours, recolour
from gan.augment.corruption import Cutout, cut_out
from gan.augment.geometric import (
    SHIFT_RANGE,
    SHIFT_STD,
    STRETCH_STD,
    ZOOM_STD,
    Blits,
    Warps,
    blit_positions,
    warp_positions,
)
from gan.augment.warp import warp

FIXTURE = Path(__file__).parent / "fixtures" / "official_augmentation.npz"
SIZE, N = 32, 2


def drawn_images() -> Tensor:
    """Two smooth images, from a formula."""
    y, x = torch.meshgrid(*[torch.arange(SIZE, dtype=torch.float64)] * 2, indexing="ij")
    channels = [
        0.6 * torch.sin(0.13 * k * x + 0.21 * c * y + k) + 0.3 * torch.cos(0.7 * x - (0.3 + 0.1 * c) * y)
        for k in (1, 2)
        for c in (1, 2, 3)
    ]
    return torch.stack(channels).reshape(N, 3, SIZE, SIZE).float()


def _augmented(group: str, q: float) -> Tensor:
    normal, uniform = NormalDist().inv_cdf(q) / math.sqrt(2), q * 2 - 1

    def all_images(value: float, *shape: int) -> Tensor:
        return torch.full((N, *shape), float(value))

    mirrored = all_images(math.floor(q * 2))
    blits = Blits(mirrored, all_images(math.floor(q * 4)), all_images(uniform * SHIFT_RANGE, 2))
    warps = Warps(
        zoom=all_images(2 ** (normal * ZOOM_STD)),
        first_angle=all_images(uniform * math.pi),
        stretch=all_images(2 ** (normal * STRETCH_STD)),
        second_angle=all_images(0),
        shift=all_images(normal * SHIFT_STD, 2),
    )
    positions = {"blit": blit_positions(blits, SIZE), "geom": warp_positions(warps, SIZE)}
    positions["bgc"] = positions["bgcf"] = positions["blit"] @ positions["geom"]
    images = drawn_images()
    if group in positions:
        images = warp(images, positions[group])
    if group in ("colour", "bgc", "bgcf"):
        images = recolour(
            images,
            Colours(
                brightness=all_images(normal * BRIGHTNESS_STD),
                contrast=all_images(2 ** (normal * CONTRAST_STD)),
                luma_flip=mirrored,
                hue=all_images(uniform * math.pi),
                saturation=all_images(2 ** (normal * SATURATION_STD)),
            ),
        )
    if group in ("filter", "bgcf"):
        images = filter_bands(images, Bands(all_images(2 ** (normal * GAIN_STD), 4)))
    if group == "cutout":
        images = cut_out(images, Cutout(torch.ones(N, dtype=torch.bool), all_images(q, 2)))
    return images


@pytest.mark.parametrize("group", ["blit", "geom", "colour", "filter", "cutout", "bgc", "bgcf"])
def test_images_equal_the_official_ones(group: str) -> None:
    with np.load(FIXTURE) as file:
        numbers = dict(file)
    for index, q in enumerate(numbers["q"].tolist()):
        result = _augmented(group, q).numpy()
        pixels = result[tuple(numbers["positions"])]
        np.testing.assert_allclose(pixels, numbers[f"pixels_{group}"][index], atol=1e-4, rtol=0)
        means = result.mean(axis=(2, 3), dtype=np.float64)
        np.testing.assert_allclose(means, numbers[f"means_{group}"][index], atol=1e-5, rtol=0)
