"""Exact tests: permutations of tags and labels, and corrections for many tests."""

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
    """Return the differences of means (first minus second) when the tags are dealt out again at random."""
    pool = np.concatenate([first, second])
    n_second = len(second)
    total = pool.sum()
    sums = np.concatenate([block[:, :n_second].sum(axis=1) for block in permuted(pool, times, rng)])
    return np.asarray((total - sums) / len(first) - sums / n_second, dtype=np.float64)


def hypergeometric_tail(first: NDArray[np.float64], second: NDArray[np.float64], n: int) -> tuple[int, float]:
    """Return how many of the ``n`` largest values belong to ``first``, and the chance of at least as many.

    Ties go to ``second``.
    """
    from scipy.stats import hypergeom

    pool = np.concatenate([second, first])
    largest = np.argsort(-pool, kind="stable")[:n]
    hits = int(np.count_nonzero(largest >= len(second)))
    return hits, float(hypergeom.sf(hits - 1, len(pool), len(first), n))


def holm(p_values: list[float]) -> list[float]:
    """Return Holm's adjusted p-values (Holm 1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values, dtype=float)[order] * factors))
    return [float(value) for value in adjusted]


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values adjusted for the false discovery rate (Benjamini and Hochberg 1995)."""
    n = len(p_values)
    order = np.argsort(p_values, kind="stable")[::-1]
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(p_values[order] * n / np.arange(n, 0, -1)))
    return adjusted
