"""Every score of people and images, block by block, for statistics that need more than the largest ones."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.gallery import Gallery
from synthface.privacy.search.arrays import NumpyArrays
from synthface.privacy.search.people_blocks import people_blocks

_PEOPLE, _IMAGES = 1024, 4096  # of a block: two matrices of 16 MB, however many photos there are


def person_maxima(
    gallery: Gallery, images: NDArray[np.float32]
) -> Iterator[tuple[NDArray[np.int64], slice, NDArray[np.float32]]]:
    """Yield (indices of people, images, [p, n] best score of each of these people with each of these images).

    The matrix of a block is overwritten by the next one.

    Args:
        gallery: people; each comes in one block only, in no particular order.
        images: [N, D].
    """
    arrays = NumpyArrays()
    size = min(_PEOPLE, len(gallery)) * min(_IMAGES, len(images))
    best, spare = arrays.empty(size), arrays.empty(size)
    for block in people_blocks(gallery, _PEOPLE, arrays):
        for begin in range(0, len(images), _IMAGES):
            rows = slice(begin, min(begin + _IMAGES, len(images)))
            n_people, n_images = len(block.people), rows.stop - begin
            maxima = best[: n_people * n_images].reshape(n_people, n_images)
            block.best_photos(images[rows].T, maxima, spare, arrays)
            yield block.people, rows, maxima
