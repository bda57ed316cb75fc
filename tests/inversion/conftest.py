"""A recogniser small enough for tests, and settings of a few steps."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inversion import InversionConfig

DIMENSION = 8


class TinyRecognizer(nn.Module):
    """Two convolutions with batch norm, then a linear head with a BatchNorm1d, as face recognisers have."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 5, stride=4, bias=False),
            nn.BatchNorm2d(6),
            nn.PReLU(6),
            nn.Conv2d(6, 8, 3, stride=3, bias=False),
            nn.BatchNorm2d(8),
            nn.PReLU(8),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(8 * 9 * 9, DIMENSION), nn.BatchNorm1d(DIMENSION))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


def natural_images(n: int, seed: int) -> Tensor:
    """Smooth random images [n, 3, 112, 112] in [-1, 1]: the world the tiny recogniser is calibrated on."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, 3, 7, 7, generator=generator) * 0.6
    return nn.functional.interpolate(coarse, (112, 112), mode="bicubic").clamp(-1, 1)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def _calibrated() -> TinyRecognizer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TinyRecognizer()
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
                layer.momentum = None  # running statistics become plain averages
        with torch.no_grad():
            for seed in range(4):
                model(natural_images(32, seed))
    return model.eval()


@pytest.fixture
def tiny(_calibrated: TinyRecognizer) -> TinyRecognizer:
    """A calibrated tiny recogniser, the test's own."""
    model = TinyRecognizer()
    model.load_state_dict(_calibrated.state_dict())
    return model.eval()


@pytest.fixture
def targets(tiny: TinyRecognizer) -> NDArray[np.float32]:
    """Embeddings of five natural images, [5, 8]."""
    with torch.no_grad():
        return tiny(natural_images(5, 99)).numpy()


@pytest.fixture
def quick() -> InversionConfig:
    """All parts of the fast preset in twelve steps."""
    return InversionConfig(steps=12, group_size=2, least_batch=1)


@pytest.fixture
def naturals() -> Tensor:
    """Sixteen natural images that the recogniser was not calibrated on."""
    return natural_images(16, 50)
