"""Classes that a recogniser takes for one person: their share of pairs, and how many people are left."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ROWS = 1024
_EDGES = 2_000_000  # pairs kept before they are reduced to a spanning forest


@dataclass(frozen=True)
class Merged:
    """What is left of a set's classes when those that match count as one.

    Attributes:
        pairs: pairs of classes whose images match on average.
        n_pairs: all pairs of classes.
        identities: groups of classes connected by such pairs: the effective number of identities.
        standard_error: of the share of pairs; jackknife over classes, 0 where there are fewer than three.
    """

    pairs: int
    n_pairs: int
    identities: int
    standard_error: float = 0.0

    @property
    def share(self) -> float:
        """Share of pairs that match."""
        return self.pairs / self.n_pairs if self.n_pairs else 0.0


def merge_classes(means: ArrayLike, threshold: float) -> Merged:
    """Count pairs of classes whose mean score is at least a threshold, and the groups they form.

    Args:
        means: [K, D] mean of each class's unit embeddings, not scaled to length 1: the product of two of them is the
            mean score over all pairs of images of the two classes, so thresholds for scores of images hold for it.
        threshold: score from which two images are the same person.
    """
    rows_of = np.asarray(means)
    n = len(rows_of)
    edges = np.empty((0, 2), np.int64)
    partners = np.zeros(n, dtype=np.int64)
    for begin in range(0, n, _ROWS):
        scores = rows_of[begin : begin + _ROWS] @ rows_of.T
        rows, columns = np.nonzero(scores >= threshold)
        later = columns > rows + begin
        found = np.stack([rows[later] + begin, columns[later]], axis=1)
        partners += np.bincount(found.ravel(), minlength=n)
        edges = np.concatenate([edges, found])
        if len(edges) > _EDGES:
            edges = _forest(edges, n)
    pairs = int(partners.sum()) // 2
    return Merged(pairs, n * (n - 1) // 2, len(np.unique(_components(edges, n))), _jackknife_error(partners))


def _jackknife_error(partners: NDArray[np.int64]) -> float:
    """Return the standard error of the share of pairs from its values with one class left out."""
    n = len(partners)
    if n < 3:
        return 0.0
    without = (partners.sum() / 2 - partners) / ((n - 1) * (n - 2) / 2)
    return float(np.sqrt((n - 1) * without.var()))


def _components(edges: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _forest(edges: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return at most n edges with the same components."""
    labels = _components(edges, n)
    _, first = np.unique(labels, return_index=True)
    return np.stack([first[labels], np.arange(n)], axis=1)
