"""The detector's weights: found in the ``mtcnn`` wheel, checked, converted once to safetensors."""

import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from synthface.core.atomic import write_atomic
from synthface.core.cache_folder import cache_folder
from synthface.core.errors import WeightsError
from synthface.core.hashing import sha256_bytes
from synthface.data.detection.networks import Cascade

# The files of mtcnn 1.0.0. They are pickles, so nothing but these very bytes is ever loaded.
WHEEL_SHA256 = {
    "proposal": ("pnet.lz4", "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5"),
    "refinement": ("rnet.lz4", "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee"),
    "output": ("onet.lz4", "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3"),
}
CONVERTED_SHA256 = "d5a8b86c159ce789096b1ec596857725fd31c026d1110a717c90a915987a3629"
# The order of the arrays in each file.
_LAYERS = {
    "proposal": ("conv1", "prelu1", "conv2", "prelu2", "conv3", "prelu3", "box", "face"),
    "refinement": ("conv1", "prelu1", "conv2", "prelu2", "conv3", "prelu3", "dense", "prelu4", "box", "face"),
    "output": (
        *("conv1", "prelu1", "conv2", "prelu2", "conv3", "prelu3", "conv4", "prelu4"),
        *("dense", "prelu5", "box", "landmarks", "face"),
    ),
}
_INSTALL = "install the detector with: pip install -e '.[detect]' (in the synthface checkout)"


def load_cascade() -> Cascade:
    """Return the three networks with their weights, in evaluation mode.

    Raises:
        WeightsError: the ``detect`` extra is not installed, or its files are not those of mtcnn 1.0.0.
    """
    cascade = Cascade()
    cascade.load_state_dict(load_safetensors(_converted()))
    return cascade.eval().requires_grad_(False)


def _converted() -> bytes:
    path = cache_folder("detector") / "mtcnn-1.0.0.safetensors"
    if path.is_file():
        content = path.read_bytes()
        if sha256_bytes(content) == CONVERTED_SHA256:
            return content
    content = convert_wheel(find_wheel_weights())
    write_atomic(path, content)
    return content


def find_wheel_weights() -> Path:
    """Return the folder of weights in the installed ``mtcnn`` package, which is not imported for it."""
    spec = importlib.util.find_spec("mtcnn")
    if spec is None or spec.origin is None:
        raise WeightsError(
            f"--detector mtcnn needs the weights in the mtcnn package; {_INSTALL}, or use --detector none"
        )
    return Path(spec.origin).parent / "assets" / "weights"


def convert_wheel(folder: Path) -> bytes:
    """Return the wheel's weights as one safetensors file for ``Cascade``."""
    state: dict[str, Tensor] = {}
    for net, (name, sha256) in WHEEL_SHA256.items():
        arrays = _load_checked(folder / name, sha256)
        state |= {f"{net}.{key}": tensor for key, tensor in _name_arrays(arrays, _LAYERS[net]).items()}
    content = save_safetensors(state)
    if sha256_bytes(content) != CONVERTED_SHA256:
        raise WeightsError(f"{folder}: the weights did not convert to the expected bytes; {_INSTALL} again")
    return content


def _load_checked(path: Path, sha256: str) -> list[NDArray[np.float32]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}); {_INSTALL} again") from None
    if sha256_bytes(content) != sha256:
        raise WeightsError(f"{path} is not the file of mtcnn 1.0.0 (its SHA-256 differs); {_INSTALL} again")
    try:
        import joblib
        import lz4.frame  # type: ignore[import-untyped]  # noqa: F401  (joblib needs it, and says so late)
    except ImportError as error:
        raise WeightsError(f"{error.name} is missing, which unpacks the detector's weights; {_INSTALL}") from None
    arrays: list[NDArray[np.float32]] = joblib.load(io.BytesIO(content))  # the bytes that were checked, not the path
    return arrays


def _name_arrays(arrays: list[NDArray[np.float32]], layers: tuple[str, ...]) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    remaining = iter(arrays)
    for layer in layers:
        weight = next(remaining)
        if layer.startswith("prelu"):
            state[f"{layer}.weight"] = _tensor(weight.reshape(-1))
            continue
        state[f"{layer}.weight"] = _tensor(_to_torch_layout(weight, follows_map=layer == "dense"))
        state[f"{layer}.bias"] = _tensor(next(remaining))
    return state


def _to_torch_layout(weight: NDArray[np.float32], *, follows_map: bool) -> NDArray[np.float32]:
    """Reorder [height, width, in, out] to [out, in, height, width], and [in, out] to [out, in].

    A dense layer over a 3x3 feature map counts its inputs by (column, row, channel): the networks came from a
    column-major framework. Torch flattens by (channel, row, column). Other orders lose detections on real photos.
    """
    if weight.ndim == 4:
        return weight.transpose(3, 2, 0, 1)
    if follows_map:
        n_out = weight.shape[1]
        return weight.reshape(3, 3, -1, n_out).transpose(3, 2, 1, 0).reshape(n_out, -1)
    return weight.T


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
