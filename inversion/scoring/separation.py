"""Whether images made for different people are taken for one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 256


def measure_separation(
    images: NDArray[np.float32], people: NDArray[np.str_], real: NDArray[np.float32], threshold: float
) -> dict[str, Any]:
    """Count the images that match somebody else's, and those that match a real one.

    Args:
        images: [N, D] unit embeddings.
        people: [N] who each is to show.
        real: [M, D] unit embeddings of real faces.
        threshold: cosine from which two count as one person.

    Returns:
        ``n_pairs`` of images of different people, ``matching_pairs`` among them, ``highest_pair``; and
        ``images_matching_real``, ``highest_real``.
    """
    n_pairs = matching = real_matches = 0
    highest, highest_real = -1.0, -1.0
    for start in range(0, len(images), _BLOCK):
        part = images[start : start + _BLOCK]
        scores = part @ images.T
        later = np.arange(len(images)) > np.arange(start, start + len(part))[:, None]
        compared = later & (people[start : start + _BLOCK, None] != people[None, :])
        n_pairs += int(compared.sum())
        if compared.any():
            matching += int((scores[compared] >= threshold).sum())
            highest = max(highest, float(scores[compared].max()))
        nearest = (part @ real.T).max(axis=1)
        real_matches += int((nearest >= threshold).sum())
        highest_real = max(highest_real, float(nearest.max()))
    return {
        "n_pairs": n_pairs,
        "matching_pairs": matching,
        "highest_pair": highest if n_pairs else None,
        "images_matching_real": real_matches,
        "highest_real": highest_real,
    }
