"""Vectors as they come in files: ``.npy``, plain ``.npz``, and the class centres in a ``.safetensors`` file."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inversion.groups import check_targets
from synthface.core.errors import DataError

READABLE = (".npy", ".npz", ".safetensors")


def read_array(path: Path, *, flag: str, dimension: int | None = None) -> NDArray[np.float32]:
    """Read vectors, [N, D] float32, of any length but zero.

    An ``.npy`` file holds [N, D] or a single [D]. Of an ``.npz`` or ``.safetensors`` file the one matrix is taken
    that it holds; among several, the one whose rows (or, as some frameworks store a head, columns) have
    ``dimension`` numbers.

    Args:
        path: the file.
        flag: the option that named it, for messages.
        dimension: numbers in an embedding of the recogniser.

    Raises:
        DataError: missing, damaged, or without exactly one matrix that fits; or a row is zero or not finite.
    """
    if not path.is_file():
        raise DataError(f"{flag} {path} does not exist")
    if path.suffix not in READABLE:
        raise DataError(f"{flag} {path}: only {', '.join(READABLE)} files are read (others can run code)")
    arrays = _read(path, flag)
    array = next(iter(arrays.values())) if path.suffix == ".npy" else _the_matrix(arrays, path, flag, dimension)
    if array.ndim == 1:
        array = array[None]
    if path.suffix != ".npy" and dimension is not None and array.shape[1] != dimension == array.shape[0]:
        array = array.T
    try:
        check_targets(array)
    except DataError as error:
        raise DataError(f"{flag} {path}: {error}") from None
    if dimension is not None and array.shape[1] != dimension:
        raise DataError(
            f"{flag} {path}: rows of {array.shape[1]} numbers, the recogniser's embeddings have {dimension}; give the "
            "recogniser that made them"
        )
    return array.astype(np.float32)


def _read(path: Path, flag: str) -> Mapping[str, NDArray[Any]]:
    try:
        if path.suffix == ".safetensors":
            from safetensors import SafetensorError, safe_open

            try:
                with safe_open(path, framework="np") as file:
                    return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            except (SafetensorError, TypeError) as error:  # TypeError: of a type that numpy does not know
                raise ValueError(str(error)) from None
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"array": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        raise DataError(f"{flag} {path} is not a {path.suffix} file of plain numbers") from None


def _the_matrix(
    arrays: Mapping[str, NDArray[Any]], path: Path, flag: str, dimension: int | None
) -> NDArray[np.floating]:
    matrices = {
        name: array for name, array in arrays.items() if array.ndim == 2 and np.issubdtype(array.dtype, np.floating)
    }
    if len(matrices) > 1 and dimension is not None:
        matrices = {name: array for name, array in matrices.items() if dimension in array.shape}
    if len(matrices) != 1:
        found = ", ".join(sorted(matrices)[:4]) or "none"
        raise DataError(f"{flag} {path} needs one matrix of embeddings and has {len(matrices)} that could be ({found})")
    return next(iter(matrices.values()))
