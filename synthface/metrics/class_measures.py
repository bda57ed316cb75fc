"""Uniqueness, consistency and diversity of a labelled set, after DCFace (Kim et al., arXiv 2304.07060, section 4).

The paper writes thresholds as distances, but its r = 0.3 is a cosine: where its recogniser has an FMR of 1e-4 (its
supplement, section E). Here r is a cosine.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.metrics.manifold import squared_radii

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def class_means(vectors: ArrayLike, labels: ArrayLike) -> Floats:
    """Return [K, D] the mean of each class's rows, classes in ascending order."""
    rows = np.asarray(vectors, dtype=np.float64)
    _, index, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), rows.shape[1]))
    np.add.at(sums, index, rows)
    means: Floats = sums / counts[:, None]
    return means


def unique_classes(centres: ArrayLike, r: float) -> Flags:
    """Say which classes are new people when classes are met in order (eq. 12); their share is the uniqueness.

    A class is new if its centre's cosine to the centre of every new class before it is below r: balls are added until
    they collide, as the paper's text has it. Read by the letter, eq. 12 compares with all classes before, which counts
    fewer. The share falls with the number of classes: compare equal numbers.

    Args:
        centres: [K, D], of any length but 0.
        r: cosine from which two centres are one person.
    """
    unit = _unit(np.asarray(centres, dtype=np.float64))
    unique = np.zeros(len(unit), dtype=bool)
    kept = np.empty_like(unit)
    n_kept = 0
    for k, centre in enumerate(unit):
        if not (kept[:n_kept] @ centre >= r).any():
            unique[k] = True
            kept[n_kept] = centre
            n_kept += 1
    return unique


def consistent_images(vectors: ArrayLike, labels: ArrayLike, r: float, *, leave_out: bool = False) -> Flags:
    """Say which images lie within r of the centre of their class (eq. 13).

    An image is part of its own centre: among n images without anything in common it still has a cosine of about
    1/sqrt(n) to it, which is above 0.3 for n up to 11.

    Args:
        vectors: [N, D] unit embeddings.
        labels: [N] class numbers.
        r: cosine to reach.
        leave_out: compare with the centre of the other images; an image alone in its class is then not consistent.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    _, index, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), rows.shape[1]))
    np.add.at(sums, index, rows)
    centres = sums[index] - rows if leave_out else sums[index]
    alone = leave_out & (counts[index] == 1)
    cosines = np.einsum("nd,nd->n", _unit(rows), _unit(centres))
    return np.asarray((cosines > r) & ~alone)


def class_recall(
    real: ArrayLike,
    real_labels: ArrayLike | None,
    generated: ArrayLike,
    labels: ArrayLike,
    *,
    neighbours: int = 3,
) -> Floats:
    """Return for each class how many of the real images lie on the manifold of its images (eq. 14 and 15).

    The manifold is the union of balls that reach from each image of the class to its k-th nearest within the class.
    The paper pairs each class with the real images of one label; where labels correspond to nobody, any real label
    may be paired with any class. This is the mean over all such pairings: the share of all real images.

    Args:
        real: [N, D] style features of real images.
        real_labels: [N] to leave out a class's own images, where both sets are one; None otherwise.
        generated: [M, D] style features.
        labels: [M] class of each; every class needs more than ``neighbours`` images.
        neighbours: k.

    Returns:
        [K] shares, classes in ascending order; all classes should have equal numbers of images, since the share
        rises with them.
    """
    x, y = np.asarray(real, dtype=np.float64), np.asarray(generated, dtype=np.float64)
    numbers, squares = np.asarray(labels), np.square(np.asarray(real, dtype=np.float64)).sum(axis=1)
    shares = []
    for name in np.unique(numbers):
        points = y[numbers == name]
        squared = squares[:, None] + np.square(points).sum(axis=1) - 2 * x @ points.T
        within = (squared <= squared_radii(points, neighbours)).any(axis=1)
        shares.append(within.mean() if real_labels is None else within[np.asarray(real_labels) != name].mean())
    return np.array(shares)


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return unit
