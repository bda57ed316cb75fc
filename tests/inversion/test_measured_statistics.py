"""Statistics measured from images, at layers of networks with and without batch norms."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inversion import InversionConfig, invert
from inversion.bn_prior import BatchNormStatistics
from inversion.extras import Extras
from inversion.images import from_bytes, to_bytes
from inversion.measured_statistics import MeasuredStatistics, measure_statistics
from synthface.core.errors import ConfigError, DataError


class TinyTransformer(nn.Module):
    """Patches, a normalised mixing of tokens, and a head: no batch norm anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 28, stride=28)
        self.norm = nn.LayerNorm(8)
        self.mix = nn.Linear(16, 16)
        self.activation = nn.ReLU(inplace=True)
        self.head = nn.Linear(128, 8)
        self.last = nn.LayerNorm(8)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.activation(self.patches(images)).flatten(2).transpose(1, 2)
        tokens = tokens + self.mix(self.norm(tokens).transpose(1, 2)).transpose(1, 2)
        return self.last(self.head(tokens.flatten(1)))


@pytest.fixture
def pictures(naturals: Tensor) -> np.ndarray:
    return to_bytes(naturals).numpy()


@pytest.fixture
def transformer() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TinyTransformer().eval()


def test_measured_at_batch_norms_equals_naive_statistics(tiny: nn.Module, pictures: np.ndarray) -> None:
    measured = measure_statistics(tiny, pictures, ["features.1", "features.3"], batch_size=3)  # does not divide
    with torch.no_grad():
        images = from_bytes(torch.from_numpy(pictures))
        features = {"features.1": tiny.features[:1](images), "features.3": tiny.features[:4](images)}
    assert measured.n_images == len(pictures)
    assert list(measured.layers) == list(features)
    for name, values in features.items():
        columns = values.permute(1, 0, 2, 3).flatten(1).double().numpy()
        np.testing.assert_allclose(measured.layers[name], [columns.mean(1), columns.var(1)], rtol=1e-4, atol=1e-6)
    assert not any(module._forward_hooks for module in tiny.modules())


def test_tokens_are_measured_channel_by_channel(transformer: nn.Module, pictures: np.ndarray) -> None:
    measured = measure_statistics(transformer, pictures)
    assert list(measured.layers) == ["patches", "norm"]  # not the norm of the embedding
    with torch.no_grad():
        maps = transformer.patches(from_bytes(torch.from_numpy(pictures))).relu()
    columns = maps.permute(1, 0, 2, 3).flatten(1).double().numpy()
    np.testing.assert_allclose(measured.layers["norm"], [columns.mean(1), columns.var(1)], rtol=1e-4, atol=1e-6)


def test_prior_of_measured_statistics_is_nought_on_the_same_images(
    transformer: nn.Module, pictures: np.ndarray
) -> None:
    measured = MeasuredStatistics.from_npz(measure_statistics(transformer, pictures).to_npz())
    with torch.no_grad(), BatchNormStatistics(transformer, measured) as statistics:
        transformer(from_bytes(torch.from_numpy(pictures)))
        assert abs(statistics.distance("kl").item()) < 1e-4
        transformer(from_bytes(torch.from_numpy(pictures // 4)))
        assert statistics.distance("kl").item() > 0.01


def test_network_without_batch_norm_is_inverted_with_measured_statistics(
    transformer: nn.Module, pictures: np.ndarray, targets: np.ndarray, quick: InversionConfig
) -> None:
    with pytest.raises(ConfigError, match="measure_statistics"):
        invert(transformer, targets, config=quick)
    extras = Extras(statistics=measure_statistics(transformer, pictures))
    result = invert(transformer, targets, config=quick, extras=extras)
    assert result.history["prior"][:, -1].mean() < result.history["prior"][:, 0].mean()
    assert result.beyond_template == ("faces of other people",)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in transformer.modules())


def test_misuse_is_one_line(tiny: nn.Module, pictures: np.ndarray) -> None:
    with pytest.raises(ConfigError, match=r"no layer 'features\.9'"):
        measure_statistics(tiny, pictures, ["features.9"])
    with pytest.raises(ConfigError, match="embeddings would pull against the targets"):
        measure_statistics(tiny, pictures, ["head.1"])
    with pytest.raises(DataError, match="give two or more"):
        measure_statistics(tiny, pictures[:1])
    with pytest.raises(DataError, match="uint8"):
        measure_statistics(tiny, pictures.astype(np.float32))
    with pytest.raises(ConfigError, match="no layer of the recogniser"):
        measure_statistics(nn.Sequential(nn.Flatten(), nn.Linear(3 * 112 * 112, 4)), pictures)
    with pytest.raises(ConfigError, match="no layer 'gone'"):
        BatchNormStatistics(tiny, MeasuredStatistics({"gone": np.zeros((2, 3), np.float32)}, 2))
    assert not any(module._forward_hooks for module in tiny.modules())
