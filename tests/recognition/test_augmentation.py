"""Augmentation: what it does to an image depends on seed, epoch and place in it; each part does what it says."""

import numpy as np
import pytest
import torch

from synthface.recognition.training.augmentation import PRESETS, Augmentation, EpochAugmentation, epoch_order


def _images(n=6, side=16):
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def _plain(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1


def _apply(augmentation, images, indices=None, *, epoch=0, seed=0, n=6):
    indices = np.arange(len(images)) if indices is None else np.array(indices)
    return EpochAugmentation(augmentation, n, seed=seed, epoch=epoch)(images[indices], indices)


@pytest.mark.parametrize("preset", PRESETS)
def test_an_image_is_changed_alike_in_any_batch(preset):
    images = _images()
    whole = _apply(PRESETS[preset], images)
    torch.testing.assert_close(_apply(PRESETS[preset], images, [4, 1]), whole[[4, 1]], rtol=0, atol=1e-6)
    assert whole.shape == (6, 3, 16, 16)
    assert whole.abs().max() <= 1


def test_seed_and_epoch_change_the_draws():
    images = _images()
    first = _apply(PRESETS["strong"], images)
    assert not torch.equal(first, _apply(PRESETS["strong"], images, epoch=1))
    assert not torch.equal(first, _apply(PRESETS["strong"], images, seed=1))
    assert torch.equal(first, _apply(PRESETS["strong"], images))


def test_none_and_certain_flip():
    images = _images()
    assert torch.equal(_apply(PRESETS["none"], images), _plain(images))
    assert torch.equal(_apply(Augmentation(flip=1.0), images), _plain(images).flip(-1))


def test_resampling_without_movement_is_the_identity_and_mirrors_like_flip():
    images = _images()
    barely = 1e-9  # takes the resampling path
    torch.testing.assert_close(_apply(Augmentation(flip=0, zoom=barely), images), _plain(images), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        _apply(Augmentation(flip=1, zoom=barely), images), _plain(images).flip(-1), atol=1e-4, rtol=0
    )


def test_grey_light_and_erase():
    images = _images()
    grey = _apply(Augmentation(flip=0, grey=1.0), images)
    torch.testing.assert_close(grey[:, 0], grey[:, 2])
    light = _apply(Augmentation(flip=0, light=0.3), images)
    assert not torch.equal(light, _plain(images))
    erased = (_apply(Augmentation(flip=0, erase=1.0), images) == 0).all(dim=1).float().mean(dim=(1, 2))
    assert ((erased > 0.03) & (erased < 0.35)).all()  # 1/16 to 1/4, to whole pixels


def test_order_visits_every_image_once_and_differs_by_epoch():
    first, second = (epoch_order(50, seed=3, epoch=epoch) for epoch in (0, 1))
    assert sorted(first) == list(range(50))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, epoch_order(50, seed=3, epoch=0))
