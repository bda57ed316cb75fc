"""Precision and recall (arXiv 1904.06991), density and coverage (arXiv 2002.09797) from balls of nearest neighbours.

Each set's manifold is taken as the union of balls around its points that reach to the point's k-th neighbour in the
same set. Precision and density say how much of the generated set lies on the real manifold (quality), recall and
coverage how much of the real one is reached (variety); density and coverage use real balls only, so that a far-off
generated point, whose ball is huge, cannot inflate them. All four depend on the number of points: compare equal
numbers only.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.core.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ManifoldScores:
    """The four scores; all but density lie in [0, 1], density expects 1 for equal distributions and may exceed it.

    Attributes:
        precision: share of generated points within some real ball (1904.06991, eq. 2).
        recall: share of real points within some generated ball (eq. 3).
        density: real balls that a generated point lies in, over k, in the mean (2002.09797, eq. 4).
        coverage: share of real balls that hold a generated point (eq. 5).
        neighbours: k.
        n: real and generated points.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    neighbours: int
    n: tuple[int, int]


def manifold_scores(
    real: ArrayLike, generated: ArrayLike, *, neighbours: int = 5, block_rows: int = 1024
) -> ManifoldScores:
    """Compare the manifolds of two sets of features.

    Args:
        real: [N, D] features.
        generated: [M, D] features.
        neighbours: k; more points ask for more (2002.09797 proposes 5 at 10,000).
        block_rows: rows of the distance matrix held at once.

    Raises:
        DataError: no more points than neighbours in a set, or features that do not fit each other.
    """
    x, y = np.asarray(real, dtype=np.float64), np.asarray(generated, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise DataError(f"features of shape {x.shape} and {y.shape}: give [N, D] and [M, D]")
    real_radii = squared_radii(x, neighbours, block_rows=block_rows)
    generated_radii = squared_radii(y, neighbours, block_rows=block_rows)
    covering = np.zeros(len(y))  # real balls that each generated point lies in
    n_recalled = n_covered = 0
    for rows, squared in _blocks(x, y, block_rows):
        in_real_ball = squared <= real_radii[rows, None]
        covering += in_real_ball.sum(axis=0)
        n_covered += int(in_real_ball.any(axis=1).sum())
        n_recalled += int((squared <= generated_radii[None]).any(axis=1).sum())
    return ManifoldScores(
        precision=float((covering > 0).mean()),
        recall=n_recalled / len(x),
        density=float(covering.mean() / neighbours),
        coverage=n_covered / len(x),
        neighbours=neighbours,
        n=(len(x), len(y)),
    )


def squared_radii(points: Floats, neighbours: int, *, block_rows: int = 1024) -> Floats:
    """Return the squared distance [N] from each point to its k-th nearest other point of the same set."""
    if not 1 <= neighbours < len(points):
        raise DataError(f"{len(points)} points have no {neighbours} neighbours each; give more images")
    parts = []
    for rows, squared in _blocks(points, points, block_rows):
        squared[np.arange(len(squared)), np.arange(rows.start, rows.start + len(squared))] = np.inf
        parts.append(np.partition(squared, neighbours - 1, axis=1)[:, neighbours - 1])
    return np.concatenate(parts)


def _blocks(x: Floats, y: Floats, block_rows: int) -> Iterator[tuple[slice, Floats]]:
    """Yield squared distances [rows, M] block by block."""
    squares = np.square(y).sum(axis=1)
    for start in range(0, len(x), block_rows):
        block = x[start : start + block_rows]
        squared = np.square(block).sum(axis=1)[:, None] + squares - 2 * block @ y.T
        yield slice(start, start + len(block)), np.maximum(squared, 0, out=squared)
