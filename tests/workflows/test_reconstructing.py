"""What a generator draws of a photo: nearer to it than to others, whoever is fitted together, the same each time."""

import numpy as np
import pytest
import torch

from gan.config import NetworkConfig
from gan.networks.generator import Generator, to_uint8
from synthface.workflows.auditing import reconstructing
from synthface.workflows.auditing.reconstructing import reconstruct


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    config = NetworkConfig(resolution=16, z_dim=16, w_dim=16, mapping_layers=2, channel_base=128, channel_max=16)
    return Generator(config, 5).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def photos(generator):
    z = torch.randn(4, 16, generator=torch.Generator().manual_seed(3))
    return to_uint8(generator(z, torch.tensor([0, 1, 2, 3]))).numpy()


def distances(drawn, photos):
    return np.abs(drawn[:, None].astype(float) - photos[None]).mean(axis=(2, 3, 4))


def test_each_photo_is_drawn_again(generator, photos):
    drawn = np.stack(list(reconstruct(iter(photos), generator, "cpu")))
    assert (drawn.shape, drawn.dtype) == (photos.shape, np.uint8)
    found = distances(drawn, photos)
    others = np.where(np.eye(4, dtype=bool), np.inf, found).min(axis=1)
    assert (np.diag(found) < others / 2).all()


def test_photos_of_another_batch_change_nothing_but_the_last_digits(generator, photos, monkeypatch):
    monkeypatch.setattr(reconstructing, "_STEPS", 5)
    together = np.stack(list(reconstruct(iter(photos), generator, "cpu")))
    monkeypatch.setattr(reconstructing, "_BATCH", 1)
    alone = np.stack(list(reconstruct(iter(photos), generator, "cpu")))
    assert np.abs(together.astype(int) - alone).max() <= 1


def test_larger_photos_are_brought_to_the_generators_size(generator, photos, monkeypatch):
    monkeypatch.setattr(reconstructing, "_STEPS", 1)
    large = np.repeat(np.repeat(photos[:1], 3, axis=1), 3, axis=2)
    (drawn,) = reconstruct(iter(large), generator, "cpu")
    assert drawn.shape == (16, 16, 3)
