"""Official networks to ours: sizes from the tensors' shapes, every layer compared, every tensor accounted for."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gan.config import NetworkConfig
from gan.discriminator import Discriminator
from gan.generator import Generator
from gan.mapping import ClassEmbedding
from gan.official.layers import (
    MINIBATCH_LAYER,
    OFFICIAL_TENSOR_NAME,
    discriminator_layers,
    generator_layers,
    official_attributes,
)
from gan.official.networks import OfficialModule, OfficialNetwork, read_networks
from gan.resample import TAPS
from synthface.core.errors import WeightsError

_FILTER = np.outer(TAPS, TAPS)
_FILTER_NAME = "resample_filter"
_RESOLUTIONS = tuple(2**k for k in range(3, 11))


def import_generator(path: str | Path, which: str = "G_ema") -> Generator:
    """Return the generator of an official pickle; nothing in the file is run.

    Args:
        path: the pickle.
        which: ``G_ema``, the moving average that draws the good images, or ``G``.

    Raises:
        WeightsError: no such file or network, or one that computes something else than ours would.
    """
    return generator_from(_pick(path, which), f"{path}: {which}")


def import_discriminator(path: str | Path) -> Discriminator:
    """Return the discriminator of an official pickle; see ``import_generator``."""
    return discriminator_from(_pick(path, "D"), f"{path}: D")


def generator_from(network: OfficialNetwork, label: str) -> Generator:
    """Build our generator from an official one; ``label`` begins the messages of errors."""
    _require_kind(network, "Generator", label)
    resolution, n_classes = _size(network, "img_resolution", label), _size(network, "c_dim", label)
    config = NetworkConfig(
        resolution=_checked_resolution(resolution, label),
        z_dim=_size(network, "z_dim", label),
        w_dim=_size(network, "w_dim", label),
        mapping_layers=sum(path.startswith("mapping.fc") for path in network.modules) or 1,
        **_channels({r: f"synthesis.b{r}.conv1" for r in _halvings(resolution)}, network, label),
        class_scale=0.0,
        clamp=_clamp(network, "synthesis.b4.conv1", label),
    )
    with torch.device("meta"):  # shapes only: nothing is allocated before they are known to fit
        G = Generator(config, n_classes)
    _take_over(G, generator_layers(G), network, label)
    return G.eval().requires_grad_(False)


def discriminator_from(network: OfficialNetwork, label: str) -> Discriminator:
    """Build our discriminator from an official one; ``label`` begins the messages of errors."""
    _require_kind(network, "Discriminator", label)
    resolution, n_classes = _size(network, "img_resolution", label), _size(network, "c_dim", label)
    paths = {r: f"b{r}.conv0" for r in _halvings(resolution) if r > 4} | {4: "b4.fc"}
    config = NetworkConfig(
        resolution=_checked_resolution(resolution, label),
        **_channels(paths, network, label),
        class_scale=0.0,
        clamp=_clamp(network, "b4.conv", label),
    )
    with torch.device("meta"):
        D = Discriminator(config, n_classes)
    path, expected = MINIBATCH_LAYER
    _compare(expected, _module(network, path, label), f"{label}.{path}")
    _take_over(D, discriminator_layers(D), network, label)
    return D.eval().requires_grad_(False)


def _pick(path: str | Path, name: str) -> OfficialNetwork:
    networks = read_networks(Path(path))
    if name not in networks:
        raise WeightsError(f"{path} holds no network {name} (it has: {', '.join(sorted(networks)) or 'none'})")
    return networks[name]


def _take_over(ours: nn.Module, layers: Iterable[tuple[str, nn.Module]], network: OfficialNetwork, label: str) -> None:
    """Compare every layer and give ``ours`` the official tensors."""
    names = {id(module): name for name, module in ours.named_modules()}
    state: dict[str, Tensor] = {}
    left_over = set(network.tensor_names())
    for path, layer in layers:
        official = _module(network, path, label)
        _compare(official_attributes(layer), official, f"{label}.{path}")
        for name, tensor in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]:
            official_name = OFFICIAL_TENSOR_NAME.get(name, name)
            key = f"{names[id(layer)]}.{name}"
            if name == "w_average" and "num_ws" in official.attributes and official.attributes["num_ws"] is None:
                state[key] = torch.zeros(tensor.shape)  # a discriminator's mapping keeps no average
                continue
            values = official.tensors.get(official_name)
            if values is not None and isinstance(layer, ClassEmbedding) and name == "weight":
                values = values.T
            state[key] = _checked_tensor(values, tuple(tensor.shape), f"{label}.{path}.{official_name}")
            left_over.discard(f"{path}.{official_name}")
    _check_filters(network, label)
    surplus = sorted(name for name in left_over if not name.endswith(_FILTER_NAME))
    if surplus:
        _unsupported(f"{label}.{surplus[0]}", "a tensor that StyleGAN2-ADA has not")
    ours.load_state_dict(state, assign=True)


def _checked_tensor(values: NDArray[Any] | None, shape: tuple[int, ...], label: str) -> Tensor:
    if values is None:
        _unsupported(label, "missing")
    if values.shape != shape:
        _unsupported(label, f"of shape {list(values.shape)}, where {list(shape)} is needed")
    with np.errstate(over="ignore"):
        copied = np.array(values, dtype=np.float32, order="C")
    if values.dtype.kind != "f" or not np.isfinite(copied).all():
        _unsupported(label, "not made of finite floating point numbers")
    return torch.from_numpy(copied)


def _check_filters(network: OfficialNetwork, label: str) -> None:
    for path, module in network.modules.items():
        values = module.tensors.get(_FILTER_NAME)
        if values is not None and (values.shape != _FILTER.shape or not np.allclose(values, _FILTER, atol=1e-6)):
            _unsupported(f"{label}.{path}.{_FILTER_NAME}", "another filter than [1, 3, 3, 1]")


def _compare(expected: dict[str, Any], official: OfficialModule, label: str) -> None:
    for name, value in expected.items():
        found = official.attributes.get(name, "missing")
        if not _same(found, value):
            _unsupported(f"{label}.{name}", f"{_shown(found)}, where only {value!r} is supported")


def _same(found: Any, value: Any) -> bool:
    if isinstance(value, int | float):
        numeric = type(found) in (bool, float) or (type(found) is int and abs(found) < 2**53)
        return numeric and math.isclose(found, value, rel_tol=1e-6)
    return type(found) is type(value) and bool(found == value)


def _shown(value: Any) -> str:
    """Return a short text for a message; of a container only the type, since it may contain itself."""
    simple = value is None or isinstance(value, str | int | float)
    return f"{value!r:.40}" if simple else f"a {type(value).__name__}"


def _require_kind(network: OfficialNetwork, kind: str, label: str) -> None:
    if network.root.class_name != kind:
        _unsupported(label, f"a {_shown(network.root.class_name)}, where a {kind!r} is needed")
    _compare({"img_channels": 3}, network.root, label)


def _module(network: OfficialNetwork, path: str, label: str) -> OfficialModule:
    if path not in network.modules:
        _unsupported(f"{label}.{path}", "missing")
    return network.modules[path]


def _size(network: OfficialNetwork, name: str, label: str) -> int:
    value = network.root.attributes.get(name)
    # Sizes beyond these fit no tensor that a file could hold.
    if type(value) is not int or not (name in ("c_dim", "z_dim") or value) or not 0 <= value <= 10_000_000:
        _unsupported(f"{label}.{name}", f"{_shown(value)}, which is no size")
    return value


def _checked_resolution(resolution: int, label: str) -> int:
    if resolution not in _RESOLUTIONS:
        _unsupported(f"{label}.img_resolution", f"{resolution}, where a power of two from 8 to 1024 is needed")
    return resolution


def _halvings(resolution: int) -> list[int]:
    return [2**k for k in range(2, resolution.bit_length())]


def _channels(paths: dict[int, str], network: OfficialNetwork, label: str) -> dict[str, int]:
    """Return the channel_base and channel_max that give each resolution the channels its layer has.

    min(base // r, max) = c_r for all r, if anything does, is solved by max = max c_r and base = max r c_r.
    """
    channels = {}
    for resolution, path in paths.items():
        weight = _module(network, path, label).tensors.get("weight")
        if weight is None or weight.ndim < 2 or not weight.shape[0]:
            _unsupported(f"{label}.{path}.weight", "missing or empty")
        channels[resolution] = weight.shape[0]
    return {"channel_base": max(r * c for r, c in channels.items()), "channel_max": max(channels.values())}


def _clamp(network: OfficialNetwork, path: str, label: str) -> float:
    clamp = _module(network, path, label).attributes.get("conv_clamp")
    if clamp is not None and not (type(clamp) in (int, float) and clamp > 0):
        _unsupported(f"{label}.{path}.conv_clamp", _shown(clamp))
    return float(clamp or 0.0)


def _unsupported(label: str, fact: str) -> NoReturn:
    raise WeightsError(f"{label} is {fact}; only networks of the official stylegan2-ada-pytorch code can be imported")
