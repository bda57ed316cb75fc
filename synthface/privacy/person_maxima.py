"""Every score of people and images, block by block, for statistics that need more than the largest ones."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.gallery import Gallery

_PHOTOS = 2048
_IMAGES = 4096


def person_maxima(gallery: Gallery, images: NDArray[np.float32]) -> Iterator[tuple[slice, slice, NDArray[np.float32]]]:
    """Yield (people, images, [p, n] best score of each of these people with each of these images)."""
    ends = gallery.starts + gallery.counts
    first = 0
    while first < len(gallery):
        last = int(np.searchsorted(ends, gallery.starts[first] + _PHOTOS, side="right"))
        last = max(last, first + 1)
        vectors = gallery.vectors[gallery.starts[first] : ends[last - 1]]
        starts = gallery.starts[first:last] - gallery.starts[first]
        for begin in range(0, len(images), _IMAGES):
            rows = slice(begin, min(begin + _IMAGES, len(images)))
            yield slice(first, last), rows, np.maximum.reduceat(vectors @ images[rows].T, starts, axis=0)
        first = last
