"""Cells of an embedding space: k-means, small and repeatable."""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.floating]
_ROWS = 4096
_ROUNDS = 50


def k_means(vectors: Vectors, n_cells: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return [n_cells, D] centres by Lloyd's algorithm from a k-means++ start (Arthur and Vassilvitskii 2007).

    A centre that loses all its vectors stays where it was.
    """
    data = vectors.astype(np.float64)
    centres = _spread_start(data, n_cells, rng)
    owners = np.full(len(data), -1)
    for _ in range(_ROUNDS):
        assigned = nearest_cell(data, centres)
        if np.array_equal(assigned, owners):
            break
        owners = assigned
        for cell in np.unique(owners):
            centres[cell] = data[owners == cell].mean(axis=0)
    return centres


def nearest_cell(vectors: Vectors, centres: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return [N] the centre nearest to each vector."""
    half = (centres**2).sum(axis=1) / 2
    parts = [
        (vectors[begin : begin + _ROWS].astype(np.float64) @ centres.T - half).argmax(axis=1)
        for begin in range(0, len(vectors), _ROWS)
    ]
    return np.concatenate(parts).astype(np.int64)


def _spread_start(data: NDArray[np.float64], n_cells: int, rng: np.random.Generator) -> NDArray[np.float64]:
    centres = [data[rng.integers(len(data))]]
    distance = ((data - centres[0]) ** 2).sum(axis=1)
    while len(centres) < n_cells and distance.sum() > 0:
        centres.append(data[rng.choice(len(data), p=distance / distance.sum())])
        distance = np.minimum(distance, ((data - centres[-1]) ** 2).sum(axis=1))
    return np.array(centres)
