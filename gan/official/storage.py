"""Tensors inside network pickles: PyTorch's stream format of storages, and views of them, as numpy arrays.

A storage travels as bytes within the pickle, themselves five pickles (magic number, version, facts on the machine,
the storage's id, the list of ids) and then a count and the raw numbers.
"""

import io
import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.core.safe_pickle import PickleRefused, read_pickle

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_MAX_DIMENSIONS = 8
_STORAGE_TYPES = {
    f"torch {name}Storage": np.dtype(code)
    for name, code in {
        "Double": "<f8",
        "Float": "<f4",
        "Half": "<f2",
        "Long": "<i8",
        "Int": "<i4",
        "Short": "<i2",
        "Char": "i1",
        "Byte": "u1",
        "Bool": "?",
    }.items()
}


@dataclass(frozen=True)
class Storage:
    """The numbers of a storage, one after the other; of a type of its own, so that no view is taken for one."""

    numbers: NDArray[Any]


def read_storage(content: bytes) -> Storage:
    """Return a storage, read-only, without copying its numbers.

    Raises:
        PickleRefused: another format, or another count than the bytes hold.
    """
    if type(content) is not bytes:
        raise PickleRefused("has a storage that is no bytes")
    stream = io.BytesIO(content)
    magic, version, machine = (read_pickle(stream, {}, prefix="has a storage that ") for _ in range(3))
    if magic != _MAGIC or version != _VERSION or type(machine) is not dict or machine.get("little_endian") is not True:
        raise PickleRefused("has a storage of another format than PyTorch's little-endian stream")
    storage = read_pickle(stream, _STORAGE_TYPES, persistent=_storage_id, prefix="has a storage that ")
    keys = read_pickle(stream, {}, prefix="has a storage that ")
    start = stream.tell() + 8
    if not isinstance(storage, _StorageId) or keys != [storage.key]:
        raise PickleRefused("has a storage that is not the one it says")
    if len(content) != start + storage.count * storage.dtype.itemsize:
        raise PickleRefused("has a storage whose size is not what it says")
    if struct.unpack_from("<q", content, start - 8)[0] != storage.count:
        raise PickleRefused("has a storage whose count is not what it says")
    if not storage.count:
        return Storage(np.empty(0, storage.dtype))
    return Storage(np.frombuffer(content, storage.dtype, storage.count, offset=start))


@dataclass(frozen=True)
class _StorageId:
    dtype: np.dtype[Any]
    key: str
    count: int


def _storage_id(value: Any) -> _StorageId:
    """Take apart ``("storage", type, key, device, count, view)``."""
    if type(value) is not tuple or len(value) != 6 or value[0] != "storage" or value[5] is not None:
        raise PickleRefused("refers to something that is no storage")
    dtype, key, count = getattr(value[1], "meaning", None), value[2], value[4]
    if not isinstance(dtype, np.dtype) or type(key) is not str or type(count) is not int or count < 0:
        raise PickleRefused("refers to a storage of an unknown kind")
    return _StorageId(dtype, key, count)


def view_storage(
    storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> NDArray[Any]:
    """Return a tensor as a read-only view of its storage.

    Raises:
        PickleRefused: the view reaches outside the storage or repeats parts of it (a small file could claim any size).
    """
    if type(storage) is not Storage or type(size) is not tuple or type(stride) is not tuple:
        raise PickleRefused("has a tensor without a storage")
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or len(size) > _MAX_DIMENSIONS or any(type(n) is not int or n < 0 for n in numbers):
        raise PickleRefused("has a tensor of impossible shape")
    count = math.prod(int(n) for n in size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    stored = storage.numbers
    if count > stored.size or (count and last >= stored.size):
        raise PickleRefused("has a tensor that is larger than its storage")
    if not count:
        return np.empty(size, stored.dtype)
    steps = tuple(step * stored.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(stored[offset:], size, steps, writeable=False)
