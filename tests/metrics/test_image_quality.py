"""Sharpness and contrast against scipy and closed forms."""

import numpy as np
from scipy import ndimage

from synthface.metrics.image_quality import contrast, luminance, sharpness


def _noise(n: int = 3, side: int = 24) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3)).astype(np.uint8)


def test_the_laplacian_is_scipys() -> None:
    images = _noise()
    expected = [ndimage.laplace(image)[1:-1, 1:-1].var() for image in luminance(images)]
    np.testing.assert_allclose(sharpness(images), expected)


def test_blur_lowers_sharpness_and_a_flat_image_has_none() -> None:
    images = _noise()
    blurred = ndimage.gaussian_filter(images.astype(float), (0, 1, 1, 0)).astype(np.uint8)
    assert (sharpness(blurred) < 0.2 * sharpness(images)).all()
    flat = np.full((1, 8, 8, 3), 90, np.uint8)
    assert sharpness(flat)[0] < 1e-20
    assert contrast(flat)[0] < 1e-12


def test_half_black_half_white_has_the_greatest_contrast() -> None:
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[:, :4] = 255
    np.testing.assert_allclose(contrast(image), 0.5)
