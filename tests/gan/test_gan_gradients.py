"""First and second derivatives against finite differences, in float64."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from gan.augment import augment
from gan.config import NetworkConfig
from gan.networks.activation import SQRT2, leaky_relu, shifted_leaky_relu
from gan.networks.discriminator import Discriminator, append_minibatch_deviation
from gan.networks.generator import Generator
from gan.networks.layers import modulated_convolution
from gan.networks.resample import downsample_blur, upsample_blur, upsample_image
from gan.training.losses import r1_penalty
from gan.training.path_length import path_length_penalty

CONFIG = NetworkConfig(resolution=8, z_dim=3, w_dim=4, mapping_layers=2, channel_base=32, channel_max=3)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=_generator(seed), dtype=torch.float64).requires_grad_(True)


RESAMPLING: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "upsample_blur": (upsample_blur, 7),
    "upsample_image": (upsample_image, 4),
    "downsample_blur pad 2": (lambda x: downsample_blur(x, pad=2, stride=1), 6),
    "downsample_blur pad 1": (lambda x: downsample_blur(x, pad=1, stride=1), 6),
    "downsample_blur stride 2": (lambda x: downsample_blur(x, pad=1, stride=2), 6),
}


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", list(RESAMPLING))
def test_resampling(name: str, memory_format: torch.memory_format) -> None:
    function, size = RESAMPLING[name]
    x = _random(2, 2, size, size).detach().contiguous(memory_format=memory_format).requires_grad_(True)
    assert gradcheck(function, x)
    # The square makes the second derivative depend on x: a linear map alone would hide a wrong one.
    assert gradgradcheck(lambda x: function(x).square(), x, fast_mode=True)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("up", [True, False])
def test_modulated_convolution(up: bool, demodulate: bool) -> None:
    def function(x: Tensor, weight: Tensor, styles: Tensor) -> Tensor:
        return modulated_convolution(x, weight, styles, up=up, demodulate=demodulate)

    inputs = _random(2, 2, 3, 3), _random(2, 2, 3, 3, seed=1), _random(2, 2, seed=2)
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs, fast_mode=True)


def test_activation_and_minibatch_deviation() -> None:
    x = _random(4, 2, 2, 2)
    assert gradcheck(lambda x: leaky_relu(x, gain=0.7, clamp=1.0), x)
    assert gradgradcheck(lambda x: leaky_relu(x, gain=0.7, clamp=1.0).square(), x)
    assert gradcheck(append_minibatch_deviation, x)
    assert gradgradcheck(append_minibatch_deviation, x)


@pytest.mark.parametrize("groups", ["bgc", "filter", "cutout"])
def test_augmentation(groups: str) -> None:
    def function(images: Tensor) -> Tensor:
        return augment(images, 0.9, _generator(1), groups).square()  # type: ignore[arg-type]

    images = _random(2, 3, 6, 6)
    assert gradcheck(function, images, fast_mode=True)
    assert gradgradcheck(function, images, fast_mode=True)


def _check_parameters(module: torch.nn.Module, penalty: Callable[[], Tensor]) -> None:
    """Compare the penalty's derivative in a random direction of all parameters with a central difference."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(penalty(), parameters, allow_unused=True)
    directions = [torch.randn(p.shape, generator=_generator(k), dtype=p.dtype) for k, p in enumerate(parameters)]
    expected = sum((g * d).sum().item() for g, d in zip(gradients, directions, strict=True) if g is not None)
    step, values = 1e-6, []
    for sign in (1, -1):
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.add_(d, alpha=sign * step)
        values.append(penalty().item())
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.sub_(d, alpha=sign * step)
    assert abs(expected) > 1e-6
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("p", [0.0, 0.9])
@pytest.mark.parametrize("n_classes", [0, 2])
def test_r1_through_augmentation_and_discriminator(n_classes: int, p: float) -> None:
    """Without cutout, whose black pixels put fresh activations exactly on their kink."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        D = Discriminator(CONFIG, n_classes).double()
    labels = torch.tensor([0, 1, 1, 0]) if n_classes else None
    images = _random(4, 3, 8, 8)
    _check_parameters(D, lambda: r1_penalty(images, D(augment(images, p, _generator(2), "bgcfn"), labels)))


def test_r1_of_a_quadratic_score() -> None:
    """D(x) = c |x|^2 / 2 has the gradient c x."""
    images = _random(3, 3, 4, 4)
    penalty = r1_penalty(images, 0.7 * images.square().sum(dim=(1, 2, 3))[:, None] / 2)
    assert penalty.item() == pytest.approx(0.49 * images.square().sum().item() / 3 / 2)


def test_path_length_through_the_synthesis_network() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        G = Generator(CONFIG, 0).double().requires_grad_(True)
        for layer in G.synthesis.styled:
            torch.nn.init.normal_(layer.noise_strength)
    ws = _random(2, G.synthesis.n_w, CONFIG.w_dim)
    noise = [_random(2, 1, r, r).detach() for r in G.synthesis.noise_resolutions]
    _check_parameters(G.synthesis, lambda: path_length_penalty(G.synthesis, ws, noise, _generator(3), 0.4)[0])


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("clamp", [0.0, 1.0])
def test_leaky_relu_has_torchs_derivative(compiled: bool, clamp: float) -> None:
    x = 2 * torch.randn(4, 3, 8, 8, generator=_generator())
    weight = torch.randn(x.shape, generator=_generator(1))
    shift = torch.randn(4, 1, 8, 8, generator=_generator(2))
    functions: list[tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = [
        (lambda x: leaky_relu(x, gain=0.5, clamp=clamp), lambda x: F.leaky_relu(x, 0.2) * (0.5 * SQRT2)),
        (lambda x: shifted_leaky_relu(x, shift, clamp=clamp), lambda x: F.leaky_relu(x + shift, 0.2)),
    ]
    for (ours, plain), bound in zip(functions, (0.5 * clamp, clamp), strict=True):
        found, expected = x.clone().requires_grad_(), x.clone().requires_grad_()
        y = (torch.compile(ours, dynamic=False) if compiled else ours)(found)
        z = plain(expected).clamp(-bound, bound) if clamp else plain(expected)
        torch.testing.assert_close(y, z)
        (y * weight).sum().backward()
        (z * weight).sum().backward()
        torch.testing.assert_close(found.grad, expected.grad)


def test_leaky_relu_at_zero_and_its_second_derivative() -> None:
    assert gradcheck(leaky_relu, _random(3, 4))
    assert gradgradcheck(lambda x: leaky_relu(x).square(), _random(3, 4))
    zero = torch.zeros(1, requires_grad=True)
    leaky_relu(zero).sum().backward()
    assert zero.grad is not None
    assert zero.grad.item() == pytest.approx(0.2 * SQRT2)  # torch's choice


def test_doubling_in_bfloat16_is_that_in_float32_rounded_once() -> None:
    x = torch.randn(2, 5, 6, 6, generator=_generator()).bfloat16()
    torch.testing.assert_close(upsample_image(x), upsample_image(x.float()).bfloat16(), rtol=0, atol=0)
