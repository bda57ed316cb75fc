"""Sampling's own synthesis and its fast convolution, against the plain ones."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import scipy.signal
import torch
import torch.nn.functional as F

from gan.config import NetworkConfig
from gan.networks.generator import Generator
from gan.sampling import frozen_synthesis, winograd
from gan.sampling.frozen_synthesis import FrozenSynthesis
from gan.sampling.images import ImageRequest, Sampler, draw_noise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(5, 64, 4, 8), (3, 65, 16, 16)], ids=str)
def test_the_fast_convolution_is_a_convolution(shape: tuple[int, int, int, int]) -> None:
    x, weight = _random(*shape), _random(70, shape[1], 3, 3, seed=1) / (9 * shape[1]) ** 0.5
    result = winograd.convolve(x.contiguous(memory_format=torch.channels_last), winograd.transform_weight(weight))
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    torch.testing.assert_close(result.double(), exact, atol=2e-5, rtol=0)
    one_channel = sum(
        scipy.signal.correlate2d(plane, kernel, mode="same")
        for plane, kernel in zip(x[0].double().numpy(), weight[7].double().numpy(), strict=True)
    )
    np.testing.assert_allclose(result[0, 7].numpy(), one_channel, atol=2e-5)


def test_the_fast_convolution_is_nearly_as_precise_as_the_plain_one() -> None:
    x = _random(4, 128, 16, 16).contiguous(memory_format=torch.channels_last)
    weight = _random(128, 128, 3, 3, seed=1) / (9 * 128) ** 0.5
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    error, plain = (
        (result.double() - exact).square().mean().sqrt()
        for result in (winograd.convolve(x, winograd.transform_weight(weight)), F.conv2d(x, weight, padding=1))
    )
    assert error < 4 * plain


@pytest.fixture(scope="module")
def narrow_vectors() -> Iterator[None]:
    """On any machine, what one without AVX-512 does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "get_cpu_capability", lambda: "AVX2")
        yield


def test_wide_vectors_need_no_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "get_cpu_capability", lambda: "AVX512")
    assert not winograd.pays(torch.zeros(64, 64, 3, 3), 8)


@pytest.mark.usefixtures("narrow_vectors")
def test_only_what_it_can_do_goes_the_fast_way() -> None:
    wide, narrow, small = torch.zeros(64, 64, 3, 3), torch.zeros(64, 32, 3, 3), torch.zeros(64, 64, 1, 1)
    assert winograd.pays(wide, 8)
    assert not any([winograd.pays(wide, 6), winograd.pays(narrow, 8), winograd.pays(small, 8)])
    assert not any([winograd.pays(wide.double(), 8), winograd.pays(wide.bfloat16(), 8)])


@pytest.fixture(scope="module", params=[0.0, 0.8], ids=["free", "clamped"])
def wide(request: pytest.FixtureRequest, narrow_vectors: None) -> Generator:
    """Return a generator with fast, plain and doubling convolutions, noise and biases."""
    sizes = NetworkConfig(
        resolution=16, z_dim=8, w_dim=8, channel_base=640, channel_max=64, clamp=request.param, mapping_layers=1
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        G = Generator(sizes, 3).eval().requires_grad_(False)
        for layer in G.synthesis.styled:
            layer.noise_strength.fill_(0.5)
            layer.bias.normal_()
    assert [winograd.pays(layer.weight, 16) for layer in G.synthesis.styled] == [True, True, True, False, False]
    return G


@pytest.mark.parametrize("at_once", [2**22, 3 * 40 * 16 * 16 * 4], ids=["together", "in groups"])
@pytest.mark.parametrize("mode", ["const", "none", "random"])
def test_frozen_draws_the_same_images(
    wide: Generator, mode: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen_synthesis, "_AT_ONCE", at_once)
    ws = _random(4, wide.synthesis.n_w, 8)
    fixed = wide.synthesis.constant_noise() if mode == "const" else None
    drawn = draw_noise([5, 6, 7, 8], wide.synthesis.noise_resolutions) if mode == "random" else []
    expected = wide.synthesis(ws, drawn or fixed)
    with torch.inference_mode():
        frozen = FrozenSynthesis(wide.synthesis, fixed)
        assert frozen.blocks[-1].at_once == (3 if at_once < 2**22 else 102)
        images, again = (frozen(ws, drawn) for _ in range(2))
    torch.testing.assert_close(images, expected, atol=2e-5 * float(expected.abs().max()), rtol=0)
    assert torch.equal(images, again)  # what is overwritten belongs to the call


def test_a_sampler_draws_what_the_generator_draws(wide: Generator) -> None:
    requests = [ImageRequest(seed=seed, code={seed % 3: 1.0}) for seed in range(5)]
    for mode, psi in (("const", 1.0), ("none", 0.5), ("random", 1.0)):
        drawn = Sampler(wide, psi=psi, noise_mode=mode).draw(requests)  # type: ignore[arg-type]
        z = torch.stack([torch.randn(8, generator=torch.Generator().manual_seed(seed)) for seed in range(5)])
        noise = draw_noise(range(5), wide.synthesis.noise_resolutions) if mode == "random" else None
        labels = torch.tensor([seed % 3 for seed in range(5)])
        images = wide(z, labels, psi=psi, noise_mode=mode, noise=noise)
        expected = ((images + 1) * 127.5).round().permute(0, 2, 3, 1).numpy()
        assert np.abs(drawn - expected).max() <= 1
        assert (drawn != expected).mean() < 0.001
    assert all((a != b).any() for a, b in pairwise(drawn))
