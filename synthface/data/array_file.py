"""Files of numpy's arrays (``.npy``, ``.npz``) that nobody vouches for: headers first, sizes checked."""

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np

DAMAGED_ARRAY_FILE = (
    OSError, ValueError, RuntimeError, LookupError, TypeError, SyntaxError, EOFError, MemoryError, OverflowError,
    AttributeError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What numpy, zipfile and json raise on damaged ``.npy`` and ``.npz`` files; numpy tokenizes headers that are no
Python literals, zipfile raises NotImplementedError (a RuntimeError) for compressions that it does not know."""

_MOST_EXPANSION = 16  # embeddings hardly shrink when compressed; names shrink more, but are the smaller part
_ALWAYS_ALLOWED_BYTES = 2**24
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def check_declared_sizes(path: Path) -> None:
    """Refuse an ``.npy`` or ``.npz`` file that declares more than it can hold, before memory is taken for it.

    Raises:
        ValueError: an array is larger than its part of the file, or the arrays are far larger than a compressed file.
        Exception: one of ``DAMAGED_ARRAY_FILE``.
    """
    n_bytes = path.stat().st_size
    if not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            _check_header(stream, n_bytes)
        return
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        total = sum(member.file_size for member in members)
        if total > max(_MOST_EXPANSION * n_bytes, _ALWAYS_ALLOWED_BYTES):
            raise ValueError(f"{n_bytes:,} bytes that would unpack to {total:,}")
        for member in members:
            with archive.open(member) as stream:
                _check_header(stream, member.file_size)


def _check_header(stream: IO[bytes], n_bytes: int) -> None:
    """Compare an array's header with the size of its file."""
    shape, dtype = read_array_header(stream)
    declared = math.prod(shape) * dtype.itemsize
    if declared > n_bytes - stream.tell():
        raise ValueError(f"an array declares {declared:,} bytes, of which {n_bytes - stream.tell():,} are there")


def read_array_header(
    stream: IO[bytes], versions: Collection[tuple[int, int]] = tuple(_READERS)
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of the array in numpy's format that begins here.

    Args:
        stream: left where the array's numbers begin.
        versions: of the format that may be.

    Raises:
        ValueError: it is of another version.
        Exception: one of ``DAMAGED_ARRAY_FILE``.
    """
    version = np.lib.format.read_magic(stream)
    if version not in versions:
        raise ValueError(f"an array of version {version}")
    shape, _, dtype = _READERS[version](stream)
    return shape, dtype
