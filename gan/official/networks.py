"""The networks of an official pickle as plain trees of arrays and attributes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan.official.stand_ins import NAMES, RawModule
from synthface.core.errors import WeightsError
from synthface.core.safe_pickle import PickleRefused, read_pickle

_MAX_BYTES = 4 * 2**30  # the largest official networks have 0.4 GiB
_MAX_DEPTH = 6
_MAX_MODULES = 2_000  # the largest has about 120
_PICKLE_START = b"\x80"
_NAMES = ("G", "D", "G_ema")
_NEXT_STEP = "give a network-snapshot-*.pkl as stylegan2-ada-pytorch writes it; nothing in the file was run"


@dataclass(frozen=True)
class OfficialModule:
    """One layer: its class, plain attributes and tensors, found by its dotted path in the network."""

    class_name: str
    attributes: dict[str, Any]
    tensors: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class OfficialNetwork:
    """A network as its layers by dotted path; the network itself has the path ``""``."""

    modules: dict[str, OfficialModule]

    @property
    def root(self) -> OfficialModule:
        """The network's own attributes."""
        return self.modules[""]

    def tensor_names(self) -> list[str]:
        """Names of all parameters and buffers, as the official code has them."""
        return [f"{path}.{name}".lstrip(".") for path, module in self.modules.items() for name in module.tensors]


def read_networks(path: Path) -> dict[str, OfficialNetwork]:
    """Return the networks of an official StyleGAN2-ADA-PyTorch pickle by name (``G``, ``D``, ``G_ema``).

    Raises:
        WeightsError: the file is missing, damaged, no such pickle, or asks for anything that is not on the list;
            nothing in it has run.
    """
    content = _read(path)
    try:
        if not isinstance(content, dict):
            raise PickleRefused("is a pickle of something else than named networks")
        return {
            name: _flat_network(value)
            for name, value in content.items()
            if isinstance(value, RawModule) and name in _NAMES
        }
    except PickleRefused as error:
        raise WeightsError(f"{path} {error}; {_NEXT_STEP}") from None


def _read(path: Path) -> Any:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsError(f"{path} {what}; give an official StyleGAN2-ADA pickle (.pkl)")
    try:
        stream = path.open("rb")
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}); check its permissions") from None
    with stream:
        size, start = path.stat().st_size, stream.read(2)
        if start == b"PK":
            raise WeightsError(f"{path} is a zip archive such as torch.save writes, no official pickle; {_NEXT_STEP}")
        if not start.startswith(_PICKLE_START):
            raise WeightsError(f"{path} is no pickle; {_NEXT_STEP}")
        if size > _MAX_BYTES:
            raise WeightsError(
                f"{path} is larger than {_MAX_BYTES // 2**30} GiB, which no such pickle is; {_NEXT_STEP}"
            )
        stream.seek(0)
        try:
            return read_pickle(stream, NAMES)
        except PickleRefused as error:
            if "dnnlib.tflib" in str(error):
                raise WeightsError(
                    f"{path} is a pickle of the TensorFlow version; convert it with the legacy.py of "
                    "stylegan2-ada-pytorch, then import the result"
                ) from None
            raise WeightsError(f"{path} {error}; {_NEXT_STEP}") from None


def _flat_network(root: RawModule) -> OfficialNetwork:
    modules = dict(islice(_walk("", root, 0), _MAX_MODULES + 1))
    if len(modules) > _MAX_MODULES:
        raise PickleRefused(f"has a network of more than {_MAX_MODULES:,} modules")
    return OfficialNetwork(modules)


def _walk(path: str, module: RawModule, depth: int) -> Iterator[tuple[str, OfficialModule]]:
    """Yield a module and those inside it; a pickle can nest a module in itself, hence the limit."""
    if depth > _MAX_DEPTH:
        raise PickleRefused("nests modules deeper than any network does")
    parameters, buffers, children = (_group(path, module, name) for name in ("_parameters", "_buffers", "_modules"))
    tensors = {name: value for name, value in {**parameters, **buffers}.items() if value is not None}
    if not all(isinstance(value, np.ndarray) for value in tensors.values()):
        raise PickleRefused(f"has a module {path} with a parameter that is no tensor")
    attributes = {name: value for name, value in module.state.items() if not name.startswith("_")}
    yield path, OfficialModule(module.class_name, attributes, tensors)
    for name, child in children.items():
        if not isinstance(child, RawModule):
            raise PickleRefused(f"has a module {path} with parts that are no modules")
        yield from _walk(f"{path}.{name}".lstrip("."), child, depth + 1)


def _group(path: str, module: RawModule, name: str) -> dict[str, Any]:
    group = module.state.get(name)
    if type(group) is not dict:
        raise PickleRefused(f"has a module {path} without {name}")
    if not all(part.isidentifier() and part.isascii() for part in group):
        raise PickleRefused(f"has a module {path} with a part whose name is no identifier")
    return group
