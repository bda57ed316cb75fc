"""Layers against slow, plain recomputation."""

import math

import numpy as np
import pytest
import scipy.signal
import torch
import torch.nn.functional as F

from gan.config import NetworkConfig
from gan.networks.discriminator import Discriminator, append_minibatch_deviation
from gan.networks.generator import Generator
from gan.networks.layers import Convolution, FullyConnected, modulated_convolution
from gan.networks.mapping import ClassEmbedding, Mapping
from gan.networks.resample import downsample_blur, upsample_blur, upsample_image
from synthface.core.errors import ConfigError

TAPS = np.array([1, 3, 3, 1]) / 8
KERNEL = np.outer(TAPS, TAPS)


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _naive_modulated(x: torch.Tensor, weight: torch.Tensor, styles: torch.Tensor, demodulate: bool) -> torch.Tensor:
    """Equations 1 and 3 of arXiv 1912.04958, one set of weights an image."""
    out = []
    for image, style in zip(x, styles, strict=True):
        w = weight * style[None, :, None, None]
        if demodulate:
            w = w / (w.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        out.append(F.conv2d(image[None], w, padding=weight.shape[-1] // 2)[0])
    return torch.stack(out)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_convolution_equals_one_set_of_weights_an_image(kernel: int, demodulate: bool) -> None:
    x, weight, styles = _random(3, 5, 8, 8), _random(4, 5, kernel, kernel, seed=1), _random(3, 5, seed=2)
    result = modulated_convolution(x, weight, styles, demodulate=demodulate)
    torch.testing.assert_close(result, _naive_modulated(x, weight, styles, demodulate), rtol=1e-9, atol=1e-9)


def test_upsampling_convolution_equals_zero_insertion_convolution_and_filter() -> None:
    x, weight = _random(1, 1, 6, 6), _random(1, 1, 3, 3, seed=1)
    result = modulated_convolution(x, weight, torch.ones(1, 1, dtype=torch.float64), up=True, demodulate=False)
    stuffed = np.zeros((12, 12))
    stuffed[::2, ::2] = x[0, 0].numpy()
    combined = scipy.signal.convolve2d(weight[0, 0].numpy(), KERNEL * 4)
    expected = scipy.signal.convolve2d(stuffed, combined)[2:14, 2:14]
    np.testing.assert_allclose(result[0, 0].numpy(), expected, atol=1e-12)


def test_demodulated_output_has_unit_variance() -> None:
    x = _random(8, 64, 32, 32)
    out = modulated_convolution(x, _random(32, 64, 3, 3, seed=1), _random(8, 64, seed=2).exp())[:, :, 2:-2, 2:-2]
    assert out.std().item() == pytest.approx(1, abs=0.03)


def test_resampling_against_scipy() -> None:
    x = _random(1, 1, 8, 8)
    image = x[0, 0].numpy()
    stuffed = np.zeros((16, 16))
    stuffed[::2, ::2] = image
    np.testing.assert_allclose(
        upsample_image(x)[0, 0].numpy(), scipy.signal.convolve2d(stuffed, KERNEL * 4)[1:17, 1:17], atol=1e-12
    )
    np.testing.assert_allclose(
        downsample_blur(x, pad=1, stride=2)[0, 0].numpy(),
        scipy.signal.convolve2d(np.pad(image, 1), KERNEL, mode="valid")[::2, ::2],
        atol=1e-12,
    )
    assert upsample_blur(_random(1, 2, 17, 17)).shape == (1, 2, 16, 16)


def test_upsampling_keeps_a_constant_image() -> None:
    result = upsample_image(torch.full((1, 3, 8, 8), 0.7))
    torch.testing.assert_close(result[:, :, 1:-1, 1:-1], torch.full((1, 3, 14, 14), 0.7))


def test_class_embedding_equals_the_one_hot_layer() -> None:
    n_classes, dim = 7, 5
    embedding = ClassEmbedding(n_classes, dim, scale=0)
    torch.nn.init.normal_(embedding.bias)
    labels = torch.tensor([3, 0, 6, 3])
    one_hot = F.one_hot(labels, n_classes).float()
    expected = one_hot @ (embedding.weight / math.sqrt(n_classes)) + embedding.bias
    torch.testing.assert_close(embedding(labels), expected)


def test_truncation() -> None:
    mapping = Mapping(8, 0, 6, 2, class_scale=1.0)
    mapping.track_average(torch.full((6,), 10.0))
    torch.testing.assert_close(mapping.w_average, torch.full((6,), 10 * (1 - 0.995)))
    w = torch.randn(2, 6)
    assert mapping.truncate(w, 1.0) is w
    torch.testing.assert_close(mapping.truncate(w, 0.0), mapping.w_average.expand(2, 6))
    torch.testing.assert_close(mapping.truncate(w, 0.5), (w + mapping.w_average) / 2)


def test_minibatch_deviation_against_a_plain_loop() -> None:
    x = _random(8, 3, 4, 4)
    result = append_minibatch_deviation(x)
    assert result.shape == (8, 4, 4, 4)
    for i in range(8):
        group = x[i % 2 :: 2]
        expected = (group.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(result[i, 3], expected.expand(4, 4))


def test_equalised_layers_start_with_unit_variance() -> None:
    x = torch.randn(256, 512, generator=torch.Generator().manual_seed(0))
    assert FullyConnected(512, 512)(x).std().item() == pytest.approx(1, abs=0.05)
    assert FullyConnected(512, 512, lr_multiplier=0.01)(x).std().item() == pytest.approx(1, abs=0.05)
    image = torch.randn(4, 64, 16, 16, generator=torch.Generator().manual_seed(1))
    inner = Convolution(64, 64, 3, activate=False)(image)[:, :, 1:-1, 1:-1]
    assert inner.std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("resolution", [8, 32])
@pytest.mark.parametrize("n_classes", [0, 3])
def test_networks_take_and_give_the_documented_shapes(resolution: int, n_classes: int) -> None:
    config = NetworkConfig(resolution=resolution, z_dim=6, w_dim=5, channel_base=64, channel_max=16)
    G, D = Generator(config, n_classes), Discriminator(config, n_classes)
    labels = torch.tensor([0, 2, 1, 0]) if n_classes else None
    images = G(torch.randn(4, 6), labels)
    assert images.shape == (4, 3, resolution, resolution)
    assert images.abs().max() <= 1
    assert D(images, labels).shape == (4, 1)
    assert G.synthesis.n_w == 2 * len(config.block_resolutions)


def test_the_class_changes_the_image_and_so_does_z() -> None:
    torch.manual_seed(0)
    G = Generator(NetworkConfig(resolution=8, z_dim=6, w_dim=5, channel_base=64, channel_max=16), 3).eval()
    z = torch.randn(1, 6).repeat(2, 1)
    by_class = G(z, torch.tensor([0, 1]))
    assert (by_class[0] - by_class[1]).abs().max() > 1e-3
    by_z = G(torch.randn(2, 6), torch.tensor([1, 1]))
    assert (by_z[0] - by_z[1]).abs().max() > 1e-3


def test_random_noise_comes_from_the_generator_given() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        G = Generator(NetworkConfig(resolution=16, z_dim=4, w_dim=4, channel_base=64, channel_max=8), 3).eval()
    for layer in G.synthesis.styled:
        torch.nn.init.constant_(layer.noise_strength, 0.5)
    z, labels = torch.randn(2, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 2])

    def draw(seed: int) -> torch.Tensor:
        return G(z, labels, noise_mode="random", generator=torch.Generator().manual_seed(seed))

    global_state = torch.random.get_rng_state()
    torch.testing.assert_close(draw(3), draw(3), rtol=0, atol=0)
    assert not torch.equal(draw(3), draw(4))
    assert torch.equal(torch.random.get_rng_state(), global_state)
    drawn = torch.Generator().manual_seed(3)
    noise = [torch.randn(2, 1, r, r, generator=drawn) for r in G.synthesis.noise_resolutions]
    torch.testing.assert_close(draw(3), G(z, labels, noise_mode="random", noise=noise), rtol=0, atol=0)
    with pytest.raises(ConfigError, match=r"generator=torch\.Generator"):
        G(z, labels, noise_mode="random")
