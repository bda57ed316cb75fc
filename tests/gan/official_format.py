"""Networks as the official StyleGAN2-ADA-PyTorch code describes them, with weights from a formula, pickled its way.

The layer names, shapes and attributes are written down here; the weights come from ``official_values``. The
fixtures hold what the official code computed with the same formula, so that neither its code nor weights are needed.
"""

import collections
import math
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthface.core.seeds import derive_seed

SOURCE_TEXT = "raise SystemExit('the source text in a pickle must never run')"
FILTER = torch.tensor(np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64, dtype=torch.float32)


def official_values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the weights for a tensor by its official name: zero mean, unit variance, then scaled and shifted.

    Raw 64-bit words of PCG64, seeded from the name, as numbers uniform in +-sqrt(3).
    """
    words = np.random.PCG64(derive_seed(0, "official", name)).random_raw(max(1, math.prod(shape)))
    values = ((np.asarray(words, np.uint64) >> np.uint64(11)) * 2.0**-53 * 2 - 1) * math.sqrt(3)
    if "mapping.fc" in name:
        scale, shift = (100.0, 0.0) if name.endswith("weight") else (20.0, 0.0)
    elif name.endswith("affine.bias"):
        scale, shift = 0.2, 1.0
    elif name.endswith(("bias", "noise_strength", "w_avg")):
        scale, shift = 0.3, 0.0
    else:
        scale, shift = 1.0, 0.0
    return (values * scale + shift).reshape(shape).astype(np.float32)


class Layer:
    """A persistent object: pickled as a call of the official reconstruction function with a dictionary."""

    def __init__(self, class_name: str, path: str, shapes: dict[str, tuple[int, ...]], **attributes: Any) -> None:
        self.class_name, self.path, self.attributes = class_name, path, attributes
        self.parameters = {
            name: torch.nn.Parameter(torch.from_numpy(official_values(f"{path}.{name}", shape)), requires_grad=False)
            for name, shape in shapes.items()
        }
        self.buffers: dict[str, torch.Tensor] = {}
        self.parts: dict[str, Layer] = {}

    def buffer(self, name: str, shape: tuple[int, ...]) -> "Layer":
        self.buffers[name] = torch.from_numpy(official_values(f"{self.path}.{name}", shape))
        return self

    def with_filter(self) -> "Layer":
        self.buffers["resample_filter"] = FILTER
        return self

    def part(self, path: str) -> "Layer":
        """Find a layer inside this one by its dotted path."""
        layer = self
        for name in path.split("."):
            layer = layer.parts[name]
        return layer

    def tensors(self) -> dict[str, torch.Tensor]:
        own = {f"{self.path}.{name}".lstrip("."): t for name, t in {**self.parameters, **self.buffers}.items()}
        return own | {name: t for part in self.parts.values() for name, t in part.tensors().items()}

    def __reduce__(self) -> Any:
        hooks = {name: collections.OrderedDict() for name in ("_backward_hooks", "_forward_hooks")}
        state = {
            "training": False,
            "_parameters": collections.OrderedDict(self.parameters),
            "_buffers": collections.OrderedDict(self.buffers),
            "_non_persistent_buffers_set": set(),
            **hooks,
            "_is_full_backward_hook": None,
            "_modules": collections.OrderedDict(self.parts),
            **self.attributes,
            "_init_args": (),
            "_init_kwargs": {"synthesis_kwargs": _official("dnnlib.util", "EasyDict")(conv_clamp=None)},
        }
        meta = {
            "type": "class",
            "version": 6,
            "module_src": SOURCE_TEXT,
            "class_name": self.class_name,
            "state": state,
        }
        return _official("torch_utils.persistence", "_reconstruct_persistent_obj"), (meta,), None


def _linear(path: str, n_in: int, n_out: int, *, activation: str = "linear", lr: float = 1) -> Layer:
    gains = {"weight_gain": lr / np.sqrt(n_in), "bias_gain": lr}
    return Layer(
        "FullyConnectedLayer", path, {"weight": (n_out, n_in), "bias": (n_out,)}, activation=activation, **gains
    )


def _mapping(path: str, z: int, c: int, w: int, n_layers: int, num_ws: int | None) -> Layer:
    layer = Layer("MappingNetwork", path, {}, z_dim=z, c_dim=c, w_dim=w, num_ws=num_ws, num_layers=n_layers)
    if c:
        layer.parts["embed"] = _linear(f"{path}.embed", c, w)
    widths = [z + (w if c else 0)] + [w] * n_layers
    for i in range(n_layers):
        layer.parts[f"fc{i}"] = _linear(f"{path}.fc{i}", widths[i], widths[i + 1], activation="lrelu", lr=0.01)
    return layer.buffer("w_avg", (w,)) if num_ws else layer


def _convolution(path: str, n_in: int, n_out: int, kernel: int, clamp: float | None, **changes: Any) -> Layer:
    shapes: dict[str, tuple[int, ...]] = {"weight": (n_out, n_in, kernel, kernel), "bias": (n_out,)}
    if not changes.pop("bias", True):
        del shapes["bias"]
    attributes = {"activation": "lrelu", "up": 1, "down": 1, "conv_clamp": clamp, "padding": kernel // 2, **changes}
    attributes |= {"weight_gain": 1 / np.sqrt(n_in * kernel**2), "act_gain": np.sqrt(2)}
    return Layer("Conv2dLayer", path, shapes, **attributes).with_filter()


def _styled(path: str, n_in: int, n_out: int, w: int, resolution: int, up: int, clamp: float | None) -> Layer:
    shapes = {"weight": (n_out, n_in, 3, 3), "bias": (n_out,), "noise_strength": ()}
    facts = {"use_noise": True, "activation": "lrelu", "conv_clamp": clamp, "act_gain": np.sqrt(2)}
    layer = Layer("SynthesisLayer", path, shapes, resolution=resolution, up=up, padding=1, **facts)
    layer.parts["affine"] = _linear(f"{path}.affine", w, n_in)
    return layer.with_filter().buffer("noise_const", (resolution, resolution))


def official_generator(
    *, resolution: int, z: int, c: int, w: int, n_layers: int, base: int, most: int, clamp: float | None, **more: Any
) -> Layer:
    """The generator of these sizes; ``more`` may hold ``fp16``, the number of resolutions in half precision."""
    sizes = [2**k for k in range(2, resolution.bit_length())]
    num_ws = 2 * len(sizes)
    facts = {"w_dim": w, "img_resolution": resolution, "img_channels": 3}
    G = Layer("Generator", "", {}, z_dim=z, c_dim=c, num_ws=num_ws, **facts)
    synthesis = Layer("SynthesisNetwork", "synthesis", {}, block_resolutions=sizes, num_ws=num_ws, **facts)
    n_in = 0
    for size in sizes:
        path, n_out = f"synthesis.b{size}", min(base // size, most)
        shapes = {} if n_in else {"const": (n_out, size, size)}
        half = _half(size, resolution, more.get("fp16", 0))
        block = Layer("SynthesisBlock", path, shapes, in_channels=n_in, resolution=size, architecture="skip", **half)
        if n_in:
            block.parts["conv0"] = _styled(f"{path}.conv0", n_in, n_out, w, size, 2, clamp)
        block.parts["conv1"] = _styled(f"{path}.conv1", n_out, n_out, w, size, 1, clamp)
        colour = {"weight": (3, n_out, 1, 1), "bias": (3,)}
        to_rgb = Layer("ToRGBLayer", f"{path}.torgb", colour, conv_clamp=clamp, weight_gain=1 / np.sqrt(n_out))
        to_rgb.parts["affine"] = _linear(f"{path}.torgb.affine", w, n_out)
        block.parts["torgb"] = to_rgb
        synthesis.parts[f"b{size}"] = block.with_filter()
        n_in = n_out
    G.parts = {"synthesis": synthesis, "mapping": _mapping("mapping", z, c, w, n_layers, num_ws)}
    return G


def official_discriminator(
    *, resolution: int, c: int, base: int, most: int, clamp: float | None, group: int | None = 4, **more: Any
) -> Layer:
    """The discriminator of these sizes; ``group`` is of the minibatch deviation, None for the whole batch."""
    D = Layer("Discriminator", "", {}, c_dim=c, img_resolution=resolution, img_channels=3)
    for size in [2**k for k in range(resolution.bit_length() - 1, 2, -1)]:
        path, n_in, n_out = f"b{size}", min(base // size, most), min(base * 2 // size, most)
        half = _half(size, resolution, more.get("fp16", 0))
        block = Layer("DiscriminatorBlock", path, {}, resolution=size, architecture="resnet", **half).with_filter()
        if size == resolution:
            block.parts["fromrgb"] = _convolution(f"{path}.fromrgb", 3, n_in, 1, clamp)
        block.parts["conv0"] = _convolution(f"{path}.conv0", n_in, n_in, 3, clamp)
        block.parts["conv1"] = _convolution(f"{path}.conv1", n_in, n_out, 3, clamp, down=2)
        block.parts["skip"] = _convolution(
            f"{path}.skip", n_in, n_out, 1, None, down=2, activation="linear", bias=False
        )
        D.parts[path] = block
    width = min(base // 4, most)
    if c:
        D.parts["mapping"] = _mapping("mapping", 0, c, width, 8, None)
    last = Layer("DiscriminatorEpilogue", "b4", {}, resolution=4, architecture="resnet")
    last.parts["mbstd"] = Layer("MinibatchStdLayer", "b4.mbstd", {}, group_size=group, num_channels=1)
    last.parts["conv"] = _convolution("b4.conv", width + 1, width, 3, clamp)
    last.parts["fc"] = _linear("b4.fc", width * 16, width, activation="lrelu")
    last.parts["out"] = _linear("b4.out", width, width if c else 1)
    D.parts["b4"] = last
    return D


def _half(size: int, resolution: int, n_half: int) -> dict[str, bool]:
    is_half = size >= max(2 * resolution // 2**n_half, 8)
    return {"use_fp16": is_half, "channels_last": is_half}


def write_official_pickle(path: Path, networks: dict[str, Any], *, protocol: int = 4) -> Path:
    """Pickle networks with the global names of the official modules, which exist only while this runs."""
    content = {"training_set_kwargs": {"class_name": "training.dataset.ImageFolderDataset", "use_labels": True}}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util"):
            module = types.ModuleType(name)
            patch.setitem(sys.modules, name, module)
        _define("torch_utils.persistence", "_reconstruct_persistent_obj", types.FunctionType)
        _define("dnnlib.util", "EasyDict", type)
        path.write_bytes(pickle.dumps({**content, **networks}, protocol=protocol))
    return path


def _define(module: str, name: str, kind: type) -> None:
    def function(meta: Any) -> None:
        raise AssertionError("stand-ins are written by name and never called")

    thing: Any = type(name, (dict,), {}) if kind is type else function
    thing.__module__, thing.__qualname__, thing.__name__ = module, name, name
    setattr(sys.modules[module], name, thing)


def _official(module: str, name: str) -> Any:
    return getattr(sys.modules[module], name)
