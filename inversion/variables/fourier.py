"""Fourier coefficients with the spectrum of natural images, in colours that do not depend on each other.

After Olah et al., "Feature visualization" (Distill 2017): gradients with respect to pixels favour high frequencies;
with coefficients scaled by 1 / frequency, a step of an optimiser changes all frequencies as natural images vary.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from inversion.config import SIDE
from inversion.images import resize, symmetric
from inversion.variables.noise import start_noise

# Rows of a square root of the covariance of RGB in natural images, as published with Lucid and Lucent (Apache-2.0);
# divided by its largest column norm, below.
_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.0, -0.05), (0.27, -0.09, 0.03))


class FourierVariable:
    """Coefficients of one-sided spectra, [N, 3, side, side // 2 + 1, 2]; a tanh keeps the images in (-1, 1)."""

    def __init__(self, coefficients: Tensor, side: int) -> None:
        self.coefficients = coefficients.detach().clone().requires_grad_()
        self._side = side
        self._scale = _spectrum(side).to(coefficients.device)
        self._colours = _colours().to(coefficients.device)

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
    ) -> "FourierVariable":
        """Start from Gaussian coefficients, each member's own, added to those of a base image [1, 3, side, side]."""
        coefficients = start_noise((3, side, side // 2 + 1, 2), std, seed, members).to(device)
        return cls(coefficients if base is None else coefficients + cls.from_images(base, side).coefficients, side)

    @classmethod
    def from_images(cls, images: Tensor, side: int) -> "FourierVariable":
        """Start from [N, 3, H, W] images in [-1, 1], resized; values beyond +-.99 come back as +-.99."""
        small = resize(images.detach(), side).clamp(-0.99, 0.99).atanh()
        inverse = torch.linalg.inv(_colours().double()).to(small)
        spectrum = torch.fft.rfft2(torch.einsum("kc,nchw->nkhw", inverse, small), norm="ortho")
        return cls(torch.view_as_real(spectrum) / _spectrum(side).to(small.device)[..., None], side)

    def parameters(self) -> list[Tensor]:
        """Return the coefficients."""
        return [self.coefficients]

    def image(self) -> Tensor:
        """Return the images as [N, 3, 112, 112]."""
        spectrum = torch.view_as_complex(self.coefficients) * self._scale
        channels = torch.fft.irfft2(spectrum, s=(self._side, self._side), norm="ortho")
        return resize(torch.einsum("ck,nkhw->nchw", self._colours, channels).tanh(), SIDE)

    @torch.no_grad()
    def refined(self, side: int, *, mirrored: bool = False) -> "FourierVariable":
        """Return the variable for the next stage: the same images at another side length."""
        if side == self._side and not mirrored:
            return FourierVariable(self.coefficients, side)
        images = self.image()
        return FourierVariable.from_images(symmetric(images) if mirrored else images, side)

    def clamp(self) -> None:
        """The tanh keeps the range."""

    def penalty(self) -> None:
        """Coefficients cost nothing by themselves: the spectrum is in their scale."""


def _spectrum(side: int) -> Tensor:
    """Return the scale of each coefficient, [side, side // 2 + 1]: 1 / frequency, and a mean square of 1 over all.

    The constant is scaled as the lowest frequency. With unit mean square, coefficients of standard deviation s give
    pixels of standard deviation about s before the tanh, whatever the side.
    """
    down, across = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    scale = 1 / np.maximum(np.hypot(down, across), 1 / side)
    return torch.from_numpy((scale / np.sqrt(np.square(scale).mean())).astype(np.float32))


def _colours() -> Tensor:
    matrix = np.array(_COLOURS)
    return torch.from_numpy((matrix / np.linalg.norm(matrix, axis=0).max()).astype(np.float32))
