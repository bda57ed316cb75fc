"""The nearest of all of a person's photos: searches keep some of them, and a copy may be of another.

Gate A1 and the planted copies of V4 take their candidates from here, so that V4 says what A1 would find.
"""

import numpy as np
from numpy.typing import NDArray

from synthface.data.embeddings import Embeddings

_BLOCK = 4096  # queries compared at once


def nearest_photo(
    queries: NDArray[np.float32], found: NDArray[np.int64], photos: Embeddings, images_per_identity: int
) -> NDArray[np.int64]:
    """Return [N] the row of the photo nearest to each query among all of the person who was found.

    Args:
        queries: [N, D] unit embeddings.
        found: [N] row of the nearest photo of those that the search kept.
        photos: all of them.
        images_per_identity: photos a person that the search kept; people who have no more are as they were.
    """
    _, person, counts = np.unique(photos.identities, return_inverse=True, return_counts=True)
    nearest = found.copy()
    of_person = np.argsort(person, kind="stable")
    starts = np.cumsum(counts) - counts
    asked = np.flatnonzero(counts[person[found]] > images_per_identity)
    asked = asked[np.argsort(person[found[asked]], kind="stable")]
    for group in np.split(asked, np.flatnonzero(np.diff(person[found[asked]])) + 1):
        if len(group):
            who = person[found[group[0]]]
            rows = of_person[starts[who] : starts[who] + counts[who]]
            for block in np.split(group, range(_BLOCK, len(group), _BLOCK)):
                nearest[block] = rows[np.argmax(queries[block] @ photos.vectors[rows].T, axis=1)]
    return nearest
