"""What the globals of an official network pickle mean here: values, each checked, none of them a call into torch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan.official.storage import read_storage, view_storage
from synthface.core.safe_pickle import PickleRefused, Stateful


@dataclass(frozen=True)
class RawModule:
    """A network or layer as it stands in the pickle.

    Attributes:
        class_name: name of its official class.
        state: its attributes; ``_parameters``, ``_buffers`` and ``_modules`` among them.
    """

    class_name: str
    state: dict[str, Any]


def raw_module(meta: dict[str, Any]) -> RawModule:
    """Stand in for the function that would execute the source text in ``meta["module_src"]``."""
    if type(meta) is not dict or meta.get("type") != "class":
        raise PickleRefused("has a persistent object that is no class instance")
    class_name, state = meta.get("class_name"), meta.get("state")
    if type(class_name) is not str or type(state) is not dict:
        raise PickleRefused("has a persistent object without a class name or a state")
    return RawModule(class_name, state)


class NumpyType(Stateful):
    """A numpy dtype of a single number."""

    def __init__(self, code: str, *_: Any) -> None:
        if type(code) is not str or code not in ("f8", "f4", "f2", "i8", "i4", "u1", "b1"):
            raise PickleRefused("has a number of an unknown numpy type")
        self.dtype = np.dtype(code).newbyteorder("<")

    def set_state(self, state: Any) -> None:
        """Accept the state of a plain little-endian type."""
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", "|"):
            raise PickleRefused("has a number in another byte order")


def numpy_number(kind: NumpyType, content: bytes) -> int | float | bool:
    """Return a numpy scalar as a Python number."""
    if not isinstance(kind, NumpyType) or type(content) is not bytes or len(content) != kind.dtype.itemsize:
        raise PickleRefused("has a number of impossible size")
    number: int | float | bool = np.frombuffer(content, kind.dtype)[0].item()
    return number


def parameter(data: NDArray[Any], *_: Any) -> NDArray[Any]:
    """Return the tensor of a parameter."""
    if not isinstance(data, np.ndarray):
        raise PickleRefused("has a parameter that is no tensor")
    return data


def new_dict() -> dict[str, Any]:
    """Return an empty dictionary, filled by later instructions."""
    return {}


def new_set(items: list[str] | None = None) -> set[str]:
    """Return a set of texts."""
    if items is not None and (type(items) is not list or any(type(item) is not str for item in items)):
        raise PickleRefused("has a set of something else than text")
    return set(items or ())


NAMES = {
    "torch_utils.persistence _reconstruct_persistent_obj": raw_module,
    "torch._utils _rebuild_tensor_v2": view_storage,
    "torch._utils _rebuild_parameter": parameter,
    "torch.storage _load_from_bytes": read_storage,
    "collections OrderedDict": new_dict,
    "builtins set": new_set,
    "dnnlib.util EasyDict": new_dict,
    "numpy dtype": NumpyType,
    "numpy.core.multiarray scalar": numpy_number,
    "numpy._core.multiarray scalar": numpy_number,
}
