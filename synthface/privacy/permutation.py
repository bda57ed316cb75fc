"""Exact tests: permutations of tags and labels."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_CELLS = 2_000_000  # permuted values held at once: 16 MB


def p_value(null: NDArray[np.float64], observed: float) -> float:
    """Return (1 + #{null >= observed}) / (1 + n); equal values count as reached, up to rounding."""
    slack = 1e-12 * max(1.0, abs(observed))
    return float((1 + np.count_nonzero(null >= observed - slack)) / (1 + len(null)))


def permuted(values: NDArray[np.generic], times: int, rng: np.random.Generator) -> Iterator[NDArray[np.generic]]:
    """Yield ``times`` random orders of ``values`` as blocks [b, n]."""
    rows = max(1, _CELLS // max(1, len(values)))
    for begin in range(0, times, rows):
        block = np.broadcast_to(values, (min(rows, times - begin), len(values)))
        yield rng.permuted(block, axis=1)


def mean_difference_null(
    first: NDArray[np.float64], second: NDArray[np.float64], times: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the differences of means (first minus second) when the tags are dealt out again at random.

    Args:
        first: [..., n] values, several statistics of the same people in rows.
        second: [..., m] values.
        times: number of deals; all rows meet the same ones.
        rng: deals the tags.

    Returns:
        [..., times].
    """
    pool = np.concatenate([first, second], axis=-1)
    n, m = first.shape[-1], second.shape[-1]
    tags = np.arange(n + m) >= n
    sums = np.concatenate([pool @ block.T.astype(np.float64) for block in permuted(tags, times, rng)], axis=-1)
    return np.asarray((pool.sum(axis=-1, keepdims=True) - sums) / n - sums / m, dtype=np.float64)


def hypergeometric_tail(first: NDArray[np.float64], second: NDArray[np.float64], n: int) -> tuple[int, float]:
    """Return how many of the ``n`` largest values belong to ``first``, and the chance of at least as many.

    Ties go to ``second``.
    """
    from scipy.stats import hypergeom

    pool = np.concatenate([second, first])
    largest = np.argsort(-pool, kind="stable")[:n]
    hits = int(np.count_nonzero(largest >= len(second)))
    return hits, float(hypergeom.sf(hits - 1, len(pool), len(first), n))
