"""Official networks to ours: every layer compared, every tensor accounted for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gan.config import NetworkConfig
from gan.networks.discriminator import Discriminator
from gan.networks.generator import Generator
from gan.networks.mapping import ClassEmbedding
from gan.networks.resample import TAPS
from gan.official.comparison import compare, find_module, require_kind, unsupported
from gan.official.layers import OFFICIAL_TENSOR_NAME, discriminator_layers, generator_layers, official_attributes
from gan.official.networks import OfficialNetwork, read_networks
from gan.official.sizes import discriminator_sizes, generator_sizes
from synthface.core.errors import WeightsError

_Network = TypeVar("_Network", Generator, Discriminator)
_FILTER = np.outer(TAPS, TAPS)
_FILTER_NAME = "resample_filter"


def import_generator(path: str | Path, which: str = "G_ema") -> Generator:
    """Return the generator of an official pickle; nothing in the file is run.

    Args:
        path: the pickle.
        which: ``G_ema``, the moving average that draws the good images, or ``G``.

    Raises:
        WeightsError: no such file or network, or one that computes something else than ours would.
    """
    return generator_from(_pick(path, which), f"{path}: {which}")


@dataclass(frozen=True)
class ImportedNetworks:
    """What an official pickle leaves to a training: the generator is its own average where it holds one of the two."""

    G_ema: Generator
    G: Generator
    D: Discriminator | None


def import_networks(path: str | Path) -> ImportedNetworks:
    """Return all networks of an official pickle; see ``import_generator``."""
    found = read_networks(Path(path))
    generators = {name: generator_from(found[name], f"{path}: {name}") for name in ("G_ema", "G") if name in found}
    if not generators:
        raise WeightsError(f"{path} holds no generator (it has: {', '.join(sorted(found)) or 'none'})")
    first = next(iter(generators.values()))
    D = discriminator_from(found["D"], f"{path}: D") if "D" in found else None
    return ImportedNetworks(generators.get("G_ema", first), generators.get("G", first), D)


def import_discriminator(path: str | Path) -> Discriminator:
    """Return the discriminator of an official pickle; see ``import_generator``."""
    return discriminator_from(_pick(path, "D"), f"{path}: D")


def generator_from(network: OfficialNetwork, label: str) -> Generator:
    """Build our generator from an official one; ``label`` begins the messages of errors."""
    require_kind(network, "Generator", label)
    return _take_over(Generator, *generator_sizes(network, label), generator_layers, network, label)


def discriminator_from(network: OfficialNetwork, label: str) -> Discriminator:
    """Build our discriminator from an official one; ``label`` begins the messages of errors."""
    require_kind(network, "Discriminator", label)
    return _take_over(Discriminator, *discriminator_sizes(network, label), discriminator_layers, network, label)


def _pick(path: str | Path, name: str) -> OfficialNetwork:
    networks = read_networks(Path(path))
    if name not in networks:
        raise WeightsError(f"{path} holds no network {name} (it has: {', '.join(sorted(networks)) or 'none'})")
    return networks[name]


def _take_over(
    kind: type[_Network],
    config: NetworkConfig,
    n_classes: int,
    layers: Callable[[_Network], Iterable[tuple[str, nn.Module]]],
    network: OfficialNetwork,
    label: str,
) -> _Network:
    """Build a network with the official tensors."""
    with torch.device("meta"):  # shapes only: nothing is allocated before they are known to fit
        shapes = kind(config, n_classes)
    state = _official_state(shapes, layers(shapes), network, label)
    with torch.random.fork_rng(devices=[]):  # weights that are replaced at once draw from no one else's numbers
        ours = kind(config, n_classes)
    ours.load_state_dict(state, assign=True)
    return ours.eval().requires_grad_(False)


def _official_state(
    ours: nn.Module, layers: Iterable[tuple[str, nn.Module]], network: OfficialNetwork, label: str
) -> dict[str, Tensor]:
    """Compare every layer and return our state with the official tensors."""
    saved = set(ours.state_dict())
    names = {id(module): name for name, module in ours.named_modules()}
    state: dict[str, Tensor] = {}
    left_over = set(network.tensor_names())
    for path, layer in layers:
        official = find_module(network, path, label)
        compare(official_attributes(layer), official, f"{label}.{path}")
        for name, tensor in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]:
            official_name = OFFICIAL_TENSOR_NAME.get(name, name)
            key = f"{names[id(layer)]}.{name}"
            if key not in saved:
                continue
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
        unsupported(f"{label}.{surplus[0]}", "a tensor that StyleGAN2-ADA has not")
    return state


def _checked_tensor(values: NDArray[Any] | None, shape: tuple[int, ...], label: str) -> Tensor:
    if values is None:
        unsupported(label, "missing")
    if values.shape != shape:
        unsupported(label, f"of shape {list(values.shape)}, where {list(shape)} is needed")
    with np.errstate(over="ignore"):
        copied = np.array(values, dtype=np.float32, order="C")
    if values.dtype.kind != "f" or not np.isfinite(copied).all():
        unsupported(label, "not made of finite floating point numbers")
    return torch.from_numpy(copied)


def _check_filters(network: OfficialNetwork, label: str) -> None:
    for path, module in network.modules.items():
        values = module.tensors.get(_FILTER_NAME)
        if values is not None and (values.shape != _FILTER.shape or not np.allclose(values, _FILTER, atol=1e-6)):
            unsupported(f"{label}.{path}.{_FILTER_NAME}", "another filter than [1, 3, 3, 1]")
