"""Generators on disk: safetensors with the configuration in the header, nothing that could run."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gan.config import NetworkConfig
from gan.networks.generator import Generator
from gan.networks.mapping import set_class_strength
from synthface.core.atomic import write_atomic
from synthface.core.errors import ConfigError, WeightsError
from synthface.core.hashing import canonical_json

KIND = "synthface-generator"
FILE_NAME = "generator.safetensors"
_SAMPLES = "samples"  # the folder that a training run begins with


def save_generator(G: Generator, path: Path, *, info: dict[str, Any], dtype: torch.dtype = torch.float32) -> None:
    """Write a generator; the same weights and info give the same bytes.

    Args:
        G: the generator, usually the moving average.
        path: file to write.
        info: facts to keep in the header (training data hash, images seen, ...); must hold no names.
        dtype: type on disk; float16 halves the file.
    """
    header = {"kind": KIND, "network": vars(G.config), "n_classes": G.n_classes, "info": info}
    strength = float(G.mapping.class_strength)
    if strength < 1:  # stopped on its way from unconditional to conditional
        header["class_strength"] = strength
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in G.state_dict().items()}
    write_atomic(path, save(tensors, metadata={"synthface": canonical_json(header)}))


def generator_file(path: Path) -> Path:
    """Return the weights file of a model file or of a training run's folder.

    Raises:
        WeightsError: there is none.
    """
    file = path / FILE_NAME if path.is_dir() else path
    if file.is_file():
        return file
    if path.is_dir() and not (path / _SAMPLES).is_dir():
        raise WeightsError(f"{path} is no run of 'synthface train-gan': it holds no {FILE_NAME}")
    hint = "the run has no good checkpoint yet; go on with 'synthface train-gan --resume'"
    raise WeightsError(f"generator {file} does not exist; {hint if path.is_dir() else 'check the path'}")


def read_header(file: Path) -> dict[str, Any]:
    """Return the header of a generator file.

    Raises:
        WeightsError: not a safetensors file, or one of something else.
    """
    try:
        with safe_open(file, framework="pt") as stream:
            metadata = stream.metadata() or {}
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(
            f"{file} is not a safetensors file ({reason}); see 'synthface import-gan' for pickles"
        ) from None
    try:
        header = json.loads(metadata.get("synthface", "{}"))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("kind") != KIND:
        raise WeightsError(f"{file} holds no synthface generator; give the file or run of 'synthface train-gan'")
    return dict(header)


def load_generator(path: str | Path, device: str | torch.device = "cpu") -> Generator:
    """Load a generator, ours or imported, ready to draw.

    Args:
        path: a ``.safetensors`` file, or the folder of a training run.
        device: where to put it.

    Raises:
        WeightsError: missing, damaged or of another kind.
    """
    file = generator_file(Path(path))
    header = read_header(file)
    with safe_open(file, framework="pt") as stream:
        tensors = {name: stream.get_tensor(name).float() for name in stream.keys()}  # noqa: SIM118 (not a dict)
    G = _described(header, tensors, file)
    G.load_state_dict(tensors)
    set_class_strength(G, _class_strength(header, file))
    G.to(device=device)
    G.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    return G.eval().requires_grad_(False)


def _described(header: dict[str, Any], tensors: dict[str, Tensor], file: Path) -> Generator:
    """Return the generator that a header describes; nothing larger than the file's own tensors is made."""
    sizes, n_classes = header.get("network"), header.get("n_classes")
    largest = sum(tensor.numel() for tensor in tensors.values())
    try:
        numbers = [n_classes, *sizes.values()]  # type: ignore[union-attr]
        if not all(type(number) in (int, float) and 0 <= number <= max(largest, 32768) for number in numbers):
            raise ValueError("sizes that its tensors do not have")
        if type(n_classes) is not int or sizes["mapping_layers"] > len(tensors):  # type: ignore[index]
            raise ValueError("numbers of classes or layers that it does not hold")
        config = NetworkConfig(**sizes)  # type: ignore[arg-type]
        with torch.device("meta"):
            expected = Generator(config, n_classes).state_dict()
        held, needed = ({name: tensor.shape for name, tensor in each.items()} for each in (tensors, expected))
        if held != needed:
            differing = sorted(name for name in held.keys() | needed.keys() if held.get(name) != needed.get(name))
            raise ValueError(f"its tensors do not fit it: {', '.join(differing[:3])}")
        with torch.random.fork_rng(devices=[]):  # layers draw weights that are replaced
            return Generator(config, n_classes)
    except (ConfigError, LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise WeightsError(
            f"{file}: its header describes no generator ({' '.join(str(error).split())[:120]})"
        ) from None


def _class_strength(header: dict[str, Any], file: Path) -> float:
    strength = header.get("class_strength", 1.0)
    if type(strength) not in (int, float) or not 0 <= strength <= 1:
        raise WeightsError(f"{file}: its header describes no generator (a class strength of {strength!r:.20})")
    return float(strength)
