"""Pixels of a small image that is upsampled, then refined to the next size."""

from collections.abc import Sequence

import torch
from torch import Tensor

from inversion.config import SIDE
from inversion.images import resize, symmetric
from inversion.variables.noise import start_noise


class PixelVariable:
    """Pixels in [-1, 1] at one side length, and perhaps an image that all members share.

    The shared image gathers what the gradients of a whole group agree on: where a face and its parts lie. Members
    only have to add what makes them different.
    """

    def __init__(self, pixels: Tensor, common: Tensor | None = None) -> None:
        self.pixels = pixels.detach().clone().requires_grad_()
        self.common = None if common is None else common.detach().clone().requires_grad_()

    @classmethod
    def from_noise(
        cls,
        side: int,
        std: float,
        seed: int,
        members: Sequence[str],
        device: torch.device,
        *,
        base: Tensor | None = None,
        common: bool = False,
    ) -> "PixelVariable":
        """Start from Gaussian noise; each member's depends on the seed and its name alone.

        Args:
            side: side length.
            std: standard deviation of the noise.
            seed: its seed.
            members: whose noise.
            device: where to put the pixels.
            base: [1, 3, side, side] that everybody's noise is added to; mid-grey without.
            common: have an image that all members share; the base goes there.
        """
        pixels = start_noise((3, side, side), std, seed, members).to(device)
        base = pixels.new_zeros(1, 3, side, side) if base is None else base
        return cls(pixels, base) if common else cls(pixels + base)

    def parameters(self) -> list[Tensor]:
        """Return the pixels, and the shared image after them."""
        return [self.pixels] if self.common is None else [self.pixels, self.common]

    def image(self) -> Tensor:
        """Return the images as [N, 3, 112, 112], bilinear where the side is smaller."""
        return resize(self.pixels if self.common is None else self.pixels + self.common, SIDE)

    def refined(self, side: int, *, mirrored: bool = False) -> "PixelVariable":
        """Return the variable for the next stage: the same images at another side length."""
        parts = [resize(part.detach(), side) for part in self.parameters()]
        return PixelVariable(*(map(symmetric, parts) if mirrored else parts))

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring the pixels back into [-1, 1]; with a shared image, the sums."""
        if self.common is None:
            self.pixels.clamp_(-1, 1)
        else:
            self.pixels.copy_((self.pixels + self.common).clamp_(-1, 1) - self.common)

    def penalty(self) -> None:
        """Pixels cost nothing by themselves."""
