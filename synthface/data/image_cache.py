"""All images of a FaceSet at one size in a single memory-mapped uint8 array."""

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface.core.ahead import computed_ahead
from synthface.core.atomic import partial_path
from synthface.core.cache_folder import cache_folder
from synthface.core.cores import available_cores
from synthface.data.faceset import FaceSet

_AHEAD = 64  # images decoded before they are written


def image_cache(
    faceset: FaceSet, height: int, width: int, *, through: Callable[[range], Iterable[int]] = iter
) -> NDArray[np.uint8]:
    """Return the FaceSet's images as a read-only memory map, made on the first call and found on later ones.

    The file is named after the manifest's hash, so another set never meets it.

    Args:
        faceset: what to read.
        height: of the images in the array.
        width: likewise.
        through: put around the images' numbers while the file is made, for a progress bar.

    Returns:
        [N, height, width, 3] uint8 in manifest order.
    """
    path = cache_folder("images") / f"{faceset.manifest_sha256[:32]}-{height}x{width}.npy"
    if not path.exists():
        _build(faceset, height, width, path, through)
    pixels: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return pixels


def _build(faceset: FaceSet, height: int, width: int, path: Path, through: Callable[[range], Iterable[int]]) -> None:
    working = partial_path(path).with_suffix(f".partial-{os.getpid()}")  # two builders at once do not meet
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(faceset), height, width, 3)}
    try:
        # Written, not mapped: on a full disk a write is an error, and a page that finds no room kills the process.
        with working.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            read = partial(_pixels, faceset, height, width)
            for content in computed_ahead(read, through(range(len(faceset))), threads=available_cores(), ahead=_AHEAD):
                stream.write(content)
    except BaseException:
        working.unlink(missing_ok=True)
        raise
    working.replace(path)


def _pixels(faceset: FaceSet, height: int, width: int, index: int) -> bytes:
    return faceset.read_images([index], height, width).tobytes()
