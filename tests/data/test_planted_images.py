"""The ways in which a photo is planted: each changes what it should and no more."""

import numpy as np
import pytest
from PIL import Image

from synthface.data.planting import MAX_CROP, downsampled, morph, recompressed


@pytest.fixture
def photo():
    """A smooth picture, brighter to the right and downwards, with a fine grid in one corner."""
    rows, columns = np.mgrid[0:112, 0:112]
    image = np.stack([columns * 2, rows * 2, 255 - columns * 2], axis=2).astype(np.uint8)
    image[:20, :20] = np.where((rows[:20, :20] + columns[:20, :20])[..., None] % 2, 255, 0)
    return image


def test_recompressed_is_mirrored_and_cropped_a_little(photo):
    copy = recompressed(photo, np.random.default_rng(0))
    assert copy.shape == photo.shape
    mirrored = photo[:, ::-1].astype(float)
    inner = slice(30, 80)
    difference = np.abs(copy.astype(float) - mirrored)[inner, inner]
    assert 0 < difference.mean() < 2 * 112 * MAX_CROP  # two levels a pixel, shifted by at most the crop
    assert np.abs(copy.astype(float) - photo)[inner, inner].mean() > 30


def test_recompressed_depends_on_its_generator_alone(photo):
    first, again, other = (recompressed(photo, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_downsampled_keeps_the_smooth_and_loses_the_fine(photo):
    copy = downsampled(photo)
    assert copy.shape == photo.shape
    assert np.abs(copy.astype(float) - photo)[40:100, 40:100].mean() < 2
    assert copy[4:16, 4:16].std() < 30 < photo[4:16, 4:16].std()


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_morph_is_pillows_blend(photo, share):
    other = np.random.default_rng(0).integers(0, 255, photo.shape, dtype=np.uint8)
    expected = np.asarray(Image.blend(Image.fromarray(other), Image.fromarray(photo), share))
    assert np.abs(morph(photo, other, share).astype(int) - expected).max() <= 1


def test_a_morph_takes_a_partner_of_another_size(photo):
    small = np.full((64, 64, 3), 100, np.uint8)
    assert morph(photo, small, 0.5).shape == photo.shape
    np.testing.assert_array_equal(morph(photo, small, 1.0), photo)
