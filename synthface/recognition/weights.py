"""Reading and writing recogniser weights: safetensors with the network's config in the header; foreign files read."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from synthface.core.atomic import write_atomic
from synthface.core.errors import ConfigError, WeightsError
from synthface.core.hashing import canonical_json
from synthface.recognition.catalogue import WeightFile
from synthface.recognition.foreign import ForeignNetwork, OnnxModule, imported_module
from synthface.recognition.network_config import config_from_json
from synthface.recognition.networks.build import Network, build_network
from synthface.recognition.networks.iresnet import config_of_state
from synthface.recognition.quantisation import QuantisedLayer, from_codes, quantised_weights, to_codes

_CODES, _RANGES = ".codes", ".ranges"  # a rounded weight is kept as whole numbers, and a range for each channel
HEADER_KEY = "synthface"  # safetensors metadata holds strings only, so one key holds JSON
_COUNTER = "num_batches_tracked"  # batch-norm bookkeeping that published files leave out


def read_network(weights: WeightFile) -> Network:
    """Build the network that a weight file describes and load its tensors.

    Raises:
        WeightsError: no description, or tensors that do not fit it.
    """
    if weights.imported is not None:
        return ForeignNetwork(imported_module(weights.imported), source=weights.imported)
    if weights.path.suffix == ".onnx":
        return ForeignNetwork(OnnxModule(weights.path), source=str(weights.path))
    if weights.path.suffix in (".pth", ".pt"):
        return _read_iresnet(weights.path)
    tensors, header = _read(weights.path)
    if header is not None:
        config = config_from_json(header.get("network"), source=f"the header of {weights.path}")
    elif weights.description is not None:
        config = config_from_json(weights.description, source=str(weights.path.with_suffix(".json")))
    else:
        raise WeightsError(
            f"{weights.path} has no config in its header and no {weights.path.with_suffix('.json').name} beside it"
        )
    # before anything of that size is made
    if max(config.input_size) > 1024 or not any(config.embedding_dim in tensor.shape for tensor in tensors.values()):
        raise WeightsError(f"{weights.path} does not fit its description: its tensors are of other sizes")
    network = build_network(config)
    _load(network, _decoded(network, tensors, weights.path), weights.path)
    return network


def write_network(path: Path, network: Network, *, about: dict[str, Any]) -> None:
    """Write a network's tensors with its config, and what is known about it, in the header.

    Args:
        path: the ``.safetensors`` file; replaced as a whole.
        network: the network; a classification head is no part of it.
        about: JSON on where the weights come from.
    """
    header = canonical_json({"network": network.config.to_json(), "about": about})
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith(_COUNTER)
    }
    for name, layer in quantised_weights(network).items():
        tensors[name + _CODES], tensors[name + _RANGES] = to_codes(tensors.pop(name), layer.bits)
    write_atomic(path, save(tensors, metadata={HEADER_KEY: header}))


def _decoded(network: Network, tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    decoded = dict(tensors)
    for name, layer in quantised_weights(network).items():
        codes, ranges = decoded.pop(name + _CODES, None), decoded.pop(name + _RANGES, None)
        if codes is None or ranges is None or not _fit(codes, ranges, layer):
            raise WeightsError(f"{path} does not fit its description: {name} has no codes of {layer.bits} bits")
        decoded[name] = from_codes(codes, ranges, layer.bits)
        seen = [decoded.get(name.replace("layer.weight", f"input.{end}")) for end in ("low", "high")]
        if any(value is None or value.dtype != torch.float32 or value.ndim for value in seen) or not (
            seen[0] <= 0 <= seen[1]  # type: ignore[operator]  # neither is None, see above
        ):
            raise WeightsError(f"{path} does not fit its description: the input of {name} has no range about 0")
    return decoded


def _fit(codes: Tensor, ranges: Tensor, layer: QuantisedLayer) -> bool:
    if codes.dtype != torch.uint8 or codes.shape != layer.layer.weight.shape or int(codes.max()) >= 2**layer.bits:
        return False
    if ranges.dtype != torch.float32 or ranges.shape != (len(codes), 2):
        return False
    return bool((torch.isfinite(ranges).all() and (ranges[:, 0] <= ranges[:, 1]).all()).item())


def _read_iresnet(path: Path) -> Network:
    """Read a state dict of InsightFace's arcface_torch; nothing in the file is run."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 (torch's reader raises whatever it meets)
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path} cannot be read as tensors alone ({reason})") from None
    tensors = {
        str(name).removeprefix("module."): tensor
        for name, tensor in (state.items() if isinstance(state, dict) else ())
        if isinstance(tensor, Tensor) and tensor.layout == torch.strided and not tensor.is_meta
        if not str(name).endswith(_COUNTER)
    }
    try:
        config = config_of_state(tensors)
    except ConfigError as error:
        raise WeightsError(f"{path} holds an IResNet of impossible sizes ({error})") from None
    if config is None:
        raise WeightsError(f"{path} holds no state dict of an IResNet-18, -34, -50 or -100 as arcface_torch writes it")
    network = build_network(config)
    _load(network, tensors, path)
    return network


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        header = json.loads(metadata[HEADER_KEY]) if HEADER_KEY in metadata else None
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(f"{path} is not a readable safetensors file ({reason})") from None
    if header is not None and not isinstance(header, dict):
        raise WeightsError(f"{path}: the config in its header is no JSON object")
    return tensors, header


def _load(network: Network, tensors: dict[str, Tensor], path: Path) -> None:
    expected = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(_COUNTER)}
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or unknown:
        raise WeightsError(f"{path} does not fit its description: missing {missing[:3]}, unknown {unknown[:3]}")
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape:
            raise WeightsError(f"{path}: {name} is {tuple(tensors[name].shape)}, expected {tuple(tensor.shape)}")
        if not torch.isfinite(tensors[name]).all():
            raise WeightsError(f"{path}: {name} holds NaN or infinity")
    network.load_state_dict(tensors, strict=False)  # the counters alone are absent
