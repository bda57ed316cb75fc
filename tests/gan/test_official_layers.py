"""Every layer against what the official one computed (see fixtures/README.md).

Inputs and weights are ``official_values`` of their names on both sides; ours are written next to the official ones
where they differ.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from official_format import official_values
from torch import Tensor, nn

from gan.config import NetworkConfig
from gan.networks.discriminator import Discriminator, ResidualBlock, append_minibatch_deviation
from gan.networks.generator import Generator
from gan.networks.layers import Convolution, FullyConnected, modulated_convolution
from gan.networks.mapping import Mapping
from gan.networks.resample import downsample_blur, upsample_blur, upsample_image
from gan.networks.synthesis import StyledConvolution, ToRgb
from gan.training.path_length import PathLengthMean, path_length_penalty, path_lengths

OFFICIAL_NAMES = [
    (r"\blayers\.(\d)", r"fc\1"),
    (r"w_average", "w_avg"),
    (r"\bfirst\b", "conv0"),
    (r"\bsecond\b", "conv1"),
    (r"\bconvolution\b", "conv"),
    (r"\bhidden\b", "fc"),
    (r"synthesis\.blocks\.(\d)\.up_convolution", r"synthesis.b\1.conv0"),
    (r"synthesis\.blocks\.(\d)\.conv\b", r"synthesis.b\1.conv1"),
    (r"synthesis\.blocks\.(\d)\.to_rgb", r"synthesis.b\1.torgb"),
    (r"synthesis\.blocks\.(\d)", r"synthesis.b\1"),
    (r"synthesis\.b0", "synthesis.b4"),
    (r"synthesis\.b1", "synthesis.b8"),
]


@pytest.fixture(scope="module")
def numbers() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "fixtures" / "official_layers.npz") as file:
        return dict(file)


def _input(name: str, *shape: int) -> Tensor:
    return torch.from_numpy(official_values(f"input.{name}", shape))


def _filled(layer: nn.Module, prefix: str) -> nn.Module:
    """Give a layer the weights that the official one has."""
    tensors = dict(layer.state_dict(keep_vars=True))
    for name, tensor in tensors.items():
        official = name
        for pattern, replacement in OFFICIAL_NAMES:
            official = re.sub(pattern, replacement, official)
        is_classes = name.endswith("embed.weight")
        shape = tuple(tensor.shape[::-1] if is_classes else tensor.shape)
        values = torch.from_numpy(official_values(f"{prefix}.{official}", shape))
        with torch.no_grad():
            tensor.copy_(values.T if is_classes else values)
    return layer.eval().requires_grad_(False)


X = _input("x", 2, 3, 4, 4)
W = _input("w", 2, 5)
LABELS = torch.tensor([3, 0])


def _convolution(name: str, kernel: int, **settings: object) -> Callable[[], Tensor]:
    return lambda: _filled(Convolution(3, 4, kernel, **settings), name)(X)  # type: ignore[arg-type]


def _modulated(up: bool, demodulate: bool) -> Callable[[], Tensor]:
    weight, styles = _input("weight", 4, 3, 3, 3), _input("styles", 2, 3)
    return lambda: modulated_convolution(X, weight, styles, up=up, demodulate=demodulate)


def _deviation(n: int, group_size: int) -> Callable[[], Tensor]:
    return lambda: append_minibatch_deviation(_input("x8", 8, 3, 2, 2)[:n], group_size)[:, 3, 0, 0]


def _mapping(z_dim: int, n_layers: int) -> Tensor:
    mapping = _filled(Mapping(z_dim, 4, 5, n_layers, class_scale=0), "mapping")
    return mapping(_input("z", 2, 3) if z_dim else None, mapping.class_embedding(LABELS))


def _styled(name: str, up: bool, clamp: float, noisy: bool) -> Tensor:
    layer = _filled(StyledConvolution(3, 4, 5, 8 if up else 4, up=up, clamp=clamp), name)
    return layer(X, W, layer.noise_const[None, None] if noisy else None)


def _epilogue() -> Tensor:
    """The last layers of the discriminator and the projection on a target."""
    D = Discriminator(NetworkConfig(resolution=8, channel_base=32, channel_max=3), 1)
    D.mapping = None
    D.blocks = nn.ModuleList()
    last = _filled(nn.ModuleDict({name: getattr(D, name) for name in ("convolution", "hidden", "out")}), "b4")
    x = last["convolution"](append_minibatch_deviation(_input("last", 8, 3, 4, 4)))
    x = last["out"](last["hidden"](x.flatten(1)))
    return (x * _input("cmap", 8, 3)).sum(dim=1, keepdim=True) / math.sqrt(3)


HALF = math.sqrt(0.5)
CASES: dict[str, Callable[[], Tensor]] = {
    "fc_linear": lambda: _filled(FullyConnected(5, 4), "fc_linear")(W),
    "fc_lrelu": lambda: _filled(FullyConnected(5, 4, activate=True, lr_multiplier=0.01), "mapping.fc_lrelu")(W),
    "conv3": _convolution("conv3", 3),
    "conv1_clamped": _convolution("conv1_clamped", 1, clamp=0.5),
    "conv3_down": _convolution("conv3_down", 3, down=True, clamp=0.5, gain=HALF),
    "conv1_down": _convolution("conv1_down", 1, down=True, activate=False, bias=False, gain=HALF),
    "modulated_up1_demod1": _modulated(up=False, demodulate=True),
    "modulated_up1_demod0": _modulated(up=False, demodulate=False),
    "modulated_up2_demod1": _modulated(up=True, demodulate=True),
    "modulated_up2_demod0": _modulated(up=True, demodulate=False),
    "upsample_image": lambda: upsample_image(X),
    "upsample_blur": lambda: upsample_blur(_input("odd", 2, 3, 9, 9)),
    "downsample_blur_pad2": lambda: downsample_blur(X, pad=2, stride=1),
    "downsample_blur_stride2": lambda: downsample_blur(X, pad=1, stride=2),
    "deviation_8_4": _deviation(8, 4),
    "deviation_8_8": _deviation(8, 8),
    "deviation_8_2": _deviation(8, 2),
    "deviation_8_0": _deviation(8, 0),
    "deviation_2_4": _deviation(2, 4),
    "mapping": lambda: _mapping(3, 2),
    "mapping_class": lambda: _mapping(0, 8),
    "styled_const": lambda: _styled("styled", up=False, clamp=0, noisy=True),
    "styled_none": lambda: _styled("styled", up=False, clamp=0, noisy=False),
    "styled_up_const": lambda: _styled("styled_up", up=True, clamp=0.7, noisy=True),
    "to_rgb": lambda: _filled(ToRgb(3, 5, clamp=0.5), "to_rgb")(X, W),
    "residual": lambda: _filled(ResidualBlock(3, 4, 8, clamp=0), "residual")(_input("r", 2, 3, 8, 8)),
    "epilogue": _epilogue,
}


@pytest.mark.parametrize("name", list(CASES))
def test_a_layer_gives_the_official_numbers(name: str, numbers: dict[str, np.ndarray]) -> None:
    result = CASES[name]().numpy()
    assert result.shape == numbers[name].shape
    np.testing.assert_allclose(result, numbers[name], atol=2e-5, rtol=1e-5)


def test_truncation_up_to_a_cutoff(numbers: dict[str, np.ndarray]) -> None:
    G = Generator(NetworkConfig(resolution=16, z_dim=3, w_dim=5, mapping_layers=2, class_scale=0), 4)
    _filled(G.mapping, "mapping")
    w = G.mapping(_input("z", 2, 3), G.mapping.class_embedding(LABELS))
    np.testing.assert_allclose(G.truncated_ws(w, 0.5, 4).numpy(), numbers["mapping_cutoff"], atol=1e-5)


def test_the_path_length_penalty(numbers: dict[str, np.ndarray]) -> None:
    config = NetworkConfig(resolution=8, z_dim=4, w_dim=5, mapping_layers=2, channel_base=32, channel_max=4)
    G = Generator(config, 0)
    _filled(G, "G")
    w = G.mapping(_input("z", 4, 4)[:2], None)
    ws = w[:, None].repeat(1, G.synthesis.n_w, 1).requires_grad_(True)
    noise = G.synthesis.constant_noise()
    lengths = path_lengths(G.synthesis(ws, noise), ws, _input("directions", 2, 3, 8, 8))
    mean = PathLengthMean(decay=0.01)
    mean.observe(lengths.mean().item())
    assert mean.value == pytest.approx(float(numbers["path_mean"]), rel=1e-5)
    np.testing.assert_allclose((lengths - mean.value).square().detach(), numbers["path_penalty"], rtol=1e-5)
    penalty, mean_length = path_length_penalty(G.synthesis, ws, noise, torch.Generator().manual_seed(0), mean.value)
    directions = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    again = path_lengths(G.synthesis(ws, noise), ws, directions)
    assert penalty.item() == pytest.approx((again - mean.value).square().mean().item())
    assert mean_length.item() == pytest.approx(again.mean().item())
