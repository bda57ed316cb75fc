"""Somebody else's recogniser: a callable of an installed package, or an ONNX file, behind the interface of ours."""

import functools
import hashlib
import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synthface.core.errors import WeightsError
from synthface.recognition.network_config import ALIGNED_SIDE, FOREIGN, NetworkConfig


class ForeignNetwork(nn.Module):
    """Calls a module on aligned 112x112 faces in [-1, 1] and returns what it returns, as [N, D]."""

    is_foreign = True

    def __init__(self, inner: nn.Module, *, source: str) -> None:
        super().__init__()
        self.inner = inner.eval()
        with torch.no_grad():
            try:
                probe = inner(torch.zeros(2, 3, ALIGNED_SIDE, ALIGNED_SIDE))
            except Exception as error:  # noqa: BLE001 (whatever their code raises is their message to the user)
                raise WeightsError(f"--recognizer {source}: fails on [2, 3, 112, 112] images ({error})") from None
        if not isinstance(probe, Tensor) or probe.ndim != 2 or len(probe) != 2:
            raise WeightsError(
                f"--recognizer {source}: must map [N, 3, 112, 112] images in [-1, 1] to [N, D] embeddings"
            )
        self.config = NetworkConfig(architecture=FOREIGN, embedding_dim=probe.shape[1])

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, 112, 112] in [-1, 1] -> [N, D]."""
        return self.inner(x)


class OnnxModule(nn.Module):
    """Runs an ONNX file by onnxruntime; no gradient passes through."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            onnxruntime: Any = importlib.import_module("onnxruntime")
        except ImportError:
            raise WeightsError(f"--recognizer {path}: ONNX files need onnxruntime: pip install onnxruntime") from None
        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 (onnxruntime raises types of its own)
            raise WeightsError(f"{path} is not an ONNX model that can be run ({error})") from None
        given = self._session.get_inputs()[0]
        self._input = given.name
        self._one_by_one = given.shape[0] == 1

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, 112, 112] in [-1, 1] -> [N, D]."""
        if x.requires_grad:
            raise WeightsError("no gradient passes through an ONNX model: it can embed and judge, but not be inverted")
        parts = x.cpu().split(1 if self._one_by_one else len(x))
        outputs = [torch.from_numpy(self._session.run(None, {self._input: part.numpy()})[0]) for part in parts]
        return torch.cat(outputs).to(x.device)


@functools.lru_cache(maxsize=4)
def imported_module(name: str) -> nn.Module:
    """Import ``package.module:callable`` and call it for a module; the caller's own code runs, as asked for.

    Raises:
        WeightsError: no such module or callable, or it returns no ``nn.Module``.
    """
    module_name, _, attribute = name.partition(":")
    try:
        made = getattr(importlib.import_module(module_name), attribute)()
    except (ImportError, AttributeError, TypeError) as error:
        raise WeightsError(f"--recognizer {name}: cannot be imported and called without arguments ({error})") from None
    if not isinstance(made, nn.Module):
        raise WeightsError(f"--recognizer {name}: returned {type(made).__name__}, not a torch.nn.Module")
    return made.eval().requires_grad_(False)


def sha256_of_state(module: nn.Module) -> str:
    """Return a hash of a module's tensors with their names: what tells two recognisers by import apart."""
    digest = hashlib.sha256(repr(module).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
