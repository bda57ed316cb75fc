"""Between two people: points on the great circle through their embeddings."""

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import ConfigError, DataError
from synthface.data.embeddings import Embeddings


def great_circle(first: NDArray[np.floating], second: NDArray[np.floating], between: int) -> NDArray[np.float32]:
    """Return [between + 2, D] unit vectors at equal angles from ``first`` to ``second``, both included.

    Args:
        first: [D] unit vector.
        second: [D] unit vector.
        between: points between the two.

    Raises:
        ConfigError: the two are the same or opposite, so that no way between them is the shortest.

    Source: Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985, section 3.3 (slerp).
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    angle = 2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b))  # exact near 0 and pi, where arccos is not
    if min(angle, np.pi - angle) < 1e-4:
        raise ConfigError("--interpolate: the two embeddings are the same or opposite; there is no way between them")
    share = np.linspace(0, 1, between + 2)[:, None]
    points = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    unit: NDArray[np.float32] = points.astype(np.float32)
    return unit


def endpoint(collection: Embeddings, name: str) -> NDArray[np.float64]:
    """Return the unit vector that a name stands for: a person's mean, one image's embedding, or a row by its number.

    Raises:
        DataError: the collection has nobody, no image and no row of that name.
    """
    mean = collection.vectors[rows_named(collection, name)].mean(axis=0, dtype=np.float64)
    length = np.linalg.norm(mean)
    if length < 1e-6:
        raise DataError(f"--interpolate {name}: its embeddings cancel out; name one of its images")
    direction: NDArray[np.float64] = mean / length
    return direction


def rows_named(collection: Embeddings, name: str) -> NDArray[np.int64]:
    """Return the rows that a name stands for: all of a person's, one image's, or the one of that number.

    Raises:
        DataError: the collection has nobody, no image and no row of that name.
    """
    rows = np.flatnonzero(collection.identities == name)
    if not len(rows):
        rows = np.flatnonzero(collection.images == name)
    if not len(rows) and name.isdecimal() and int(name) < len(collection):
        rows = np.array([int(name)])
    if not len(rows):
        raise DataError(f"--interpolate {name}: no identity, image or row number of the {len(collection):,} targets")
    return rows
