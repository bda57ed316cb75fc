"""Simple measures of single images: sharpness and contrast. They say how images look, not how good they are."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def luminance(images: NDArray[np.uint8]) -> Floats:
    """Return luminance [N, H, W], 0 to 255, of images [N, H, W, 3]."""
    grey: Floats = images.astype(np.float64) @ _LUMA
    return grey


def sharpness(images: NDArray[np.uint8]) -> Floats:
    """Return the variance of the Laplacian of the luminance (0 to 255) of each image.

    Low in blurred images; noise and artefacts raise it too. It depends on the resolution: compare at one size.
    Source: Pech-Pacheco et al., ICPR 2000, "Diatom autofocusing in brightfield microscopy".

    Args:
        images: [N, H, W, 3], at least 3x3 pixels.
    """
    y = luminance(images)
    around = y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:]
    return np.asarray((around - 4 * y[:, 1:-1, 1:-1]).var(axis=(1, 2)))


def contrast(images: NDArray[np.uint8]) -> Floats:
    """Return the root mean square contrast of each image [N, H, W, 3]: deviation of the luminance, full scale 1."""
    return np.asarray(luminance(images).std(axis=(1, 2)) / 255)
