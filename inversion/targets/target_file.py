"""Vectors as they come in files: ``.npy``, plain ``.npz``, and the class centres in a ``.safetensors`` file."""

import math
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from inversion.targets.groups import check_targets
from synthface.core.errors import DataError
from synthface.data.array_file import DAMAGED_ARRAY_FILE, read_array_header

MOST_BYTES = 4 * 2**30  # of the one matrix: two million rows of 512 float32; a small archive can declare any size


@dataclass(frozen=True)
class _Stored:
    """An array in an open file, of which no more than the header was read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    load: Callable[[], NDArray[Any]]

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_array(path: Path, *, flag: str, dimension: int | None = None) -> NDArray[np.float32]:
    """Read vectors, [N, D] float32, of any length but zero.

    An ``.npy`` file holds [N, D] or a single [D]. Of an ``.npz`` or ``.safetensors`` file the one matrix is taken
    that it holds; among several, the one whose rows (or, as some frameworks store a head, columns) have
    ``dimension`` numbers. It is chosen by the arrays' headers; nothing else is read.

    Args:
        path: the file.
        flag: the option that named it, for messages.
        dimension: numbers in an embedding of the recogniser.

    Raises:
        DataError: missing, damaged, above ``MOST_BYTES``, or without exactly one matrix that fits; or a row is zero
            or not finite.
    """
    if not path.is_file():
        raise DataError(f"{flag} {path} does not exist")
    if path.suffix not in _OPENED:
        raise DataError(f"{flag} {path}: only {', '.join(_OPENED)} files are read (others can run code)")
    try:
        with warnings.catch_warnings(), _OPENED[path.suffix](path) as arrays:
            warnings.simplefilter("ignore")  # numpy's advice on damaged headers
            stored = arrays["array"] if path.suffix == ".npy" else _the_matrix(arrays, path, flag, dimension)
            _check_header(stored, path, flag, dimension)
            return _as_rows(stored.load(), path, flag, dimension)
    except MemoryError:
        raise DataError(f"{flag} {path} does not fit into memory; give it in parts") from None
    except DAMAGED_ARRAY_FILE:
        raise DataError(f"{flag} {path} is not a {path.suffix} file of plain numbers") from None


def _check_header(stored: _Stored, path: Path, flag: str, dimension: int | None) -> None:
    if stored.n_bytes > MOST_BYTES:
        raise DataError(f"{flag} {path} declares {stored.n_bytes:,} bytes; at most {MOST_BYTES:,} are read")
    widths = stored.shape[-1:] if path.suffix == ".npy" else stored.shape
    if dimension is not None and widths and dimension not in widths:
        raise DataError(
            f"{flag} {path}: rows of {widths[-1]} numbers, the recogniser's embeddings have {dimension}; give the "
            "recogniser that made them"
        )


def _as_rows(array: NDArray[Any], path: Path, flag: str, dimension: int | None) -> NDArray[np.float32]:
    if array.ndim == 1:
        array = array[None]
    if path.suffix != ".npy" and dimension is not None and array.shape[1] != dimension:
        array = array.T
    try:
        check_targets(array)
    except DataError as error:
        raise DataError(f"{flag} {path}: {error}") from None
    return array.astype(np.float32)


@contextmanager
def _open_npy(path: Path) -> Iterator[dict[str, _Stored]]:
    yield {"array": _stored(lambda: path.open("rb"))}


@contextmanager
def _open_npz(path: Path) -> Iterator[dict[str, _Stored]]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        yield {name.removesuffix(".npy"): _stored(partial(archive.open, name)) for name in names}


@contextmanager
def _open_safetensors(path: Path) -> Iterator[dict[str, _Stored]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            types = {name: _SAFE_TYPES.get(part.get_dtype()) for name, part in slices.items()}
            yield {
                name: _Stored(tuple(slices[name].get_shape()), dtype, partial(file.get_tensor, name))
                for name, dtype in types.items()
                if dtype is not None
            }
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def _stored(opened: Callable[[], IO[bytes]]) -> _Stored:
    """Read the header of an array in numpy's format.

    Version 1 is that of all plain numbers; the others are for records, and let a header be gigabytes long.
    """
    with opened() as stream:
        shape, dtype = read_array_header(stream, versions=[(1, 0)])
    return _Stored(shape, dtype, partial(_load, opened))


def _load(opened: Callable[[], IO[bytes]]) -> NDArray[Any]:
    with opened() as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _the_matrix(arrays: Mapping[str, _Stored], path: Path, flag: str, dimension: int | None) -> _Stored:
    matrices = {name: part for name, part in arrays.items() if len(part.shape) == 2 and part.dtype.kind == "f"}
    if len(matrices) > 1 and dimension is not None:
        matrices = {name: part for name, part in matrices.items() if dimension in part.shape}
    if len(matrices) != 1:
        found = ", ".join(sorted(matrices)[:4]) or "none"
        raise DataError(f"{flag} {path} needs one matrix of embeddings and has {len(matrices)} that could be ({found})")
    return next(iter(matrices.values()))


_OPENED: dict[str, Callable[[Path], AbstractContextManager[dict[str, _Stored]]]] = {
    ".npy": _open_npy,
    ".npz": _open_npz,
    ".safetensors": _open_safetensors,
}
_SAFE_TYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype(np.float16),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
}
