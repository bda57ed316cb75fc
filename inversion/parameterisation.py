"""What is optimised: pixels of a small image that is upsampled, then refined to the next size."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inversion.config import SIDE
from synthface.core.seeds import numpy_generator


class PixelVariable:
    """Pixels in [-1, 1] at one side length; ``image`` is what the recogniser sees."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels.detach().clone().requires_grad_()

    @classmethod
    def from_noise(
        cls, side: int, std: float, seed: int, members: Sequence[str], device: torch.device
    ) -> "PixelVariable":
        """Start from Gaussian noise around mid-grey; each member's noise depends on the seed and its name alone."""
        noise = [numpy_generator(seed, "start", member).normal(0, std, (3, side, side)) for member in members]
        return cls(torch.from_numpy(np.stack(noise).astype(np.float32)).to(device))

    def image(self) -> Tensor:
        """Return the images as [N, 3, 112, 112], bilinear where the side is smaller."""
        return resize(self.pixels, SIDE)

    def refined(self, side: int) -> "PixelVariable":
        """Return the variable for the next stage: the same images at another side length."""
        return PixelVariable(resize(self.pixels.detach(), side))

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring the pixels back into [-1, 1] after a step."""
        self.pixels.clamp_(-1, 1)


def resize(images: Tensor, side: int) -> Tensor:
    """Return [N, C, side, side] images, bilinear; the same tensor where the size is right."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False)


def to_bytes(images: Tensor) -> Tensor:
    """Return [N, H, W, 3] uint8 from [N, 3, H, W] in [-1, 1], rounded."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def from_bytes(images: Tensor) -> Tensor:
    """Return [N, 3, H, W] float in [-1, 1] from [N, H, W, 3] uint8."""
    return images.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1
