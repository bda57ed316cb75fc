"""A7: how many different people are there in the synthetic set?"""

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.gallery import Gallery

Vectors = NDArray[np.float32]
_CLASS_IMAGES = 64  # images of a class compared with each other


def class_means(classes: Gallery) -> Vectors:
    """Return [K, D] the mean embedding of each class, not scaled to length 1, as ``merge_classes`` takes them."""
    sums = np.add.reduceat(classes.vectors.astype(np.float64), classes.starts, axis=0)
    means: Vectors = (sums / classes.counts[:, None]).astype(np.float32)
    return means


def within_class_scores(classes: Gallery, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the scores of all pairs of images of one class; of at most 64 images drawn from each."""
    parts = [np.empty(0)]
    for start, count in zip(classes.starts, classes.counts, strict=True):
        rows = start + rng.permutation(count)[:_CLASS_IMAGES]
        vectors = classes.vectors[rows].astype(np.float64)
        parts.append((vectors @ vectors.T)[np.triu_indices(len(rows), k=1)])
    return np.concatenate(parts)
