"""Confidence intervals: of shares (Wilson, Clopper-Pearson) and of any statistic of pairs (bootstrap by identity)."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.core.errors import DataError
from synthface.core.seeds import numpy_generator

Floats = NDArray[np.float64]
_BLOCK_ELEMENTS = 4_000_000  # weights held at a time: 32 MB


class Interval(NamedTuple):
    """Lower and upper end of a two-sided confidence interval."""

    low: float
    high: float


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return Wilson's score interval of a share.

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212; no observation gives [0, 1].
    """
    from scipy.special import ndtri

    _check_counts(successes, n)
    if n == 0:
        return Interval(0.0, 1.0)
    z = float(ndtri((1 + level) / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    # At the ends the exact value is 0 or 1; rounding must not move it.
    return Interval(0.0 if successes == 0 else centre - half, 1.0 if successes == n else centre + half)


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return the exact binomial interval of a share (coverage never below ``level``).

    Source: Clopper and Pearson, Biometrika 26 (1934) 404-413; no observation gives [0, 1].
    """
    from scipy.special import betaincinv

    _check_counts(successes, n)
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return Interval(low, high)


def _check_counts(successes: int, n: int) -> None:
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}: give 0 <= successes <= n")


def percentile_interval(replicates: ArrayLike, level: float = 0.95) -> Interval:
    """Return the central interval of bootstrap replicates; undefined ones (NaN) are left out."""
    values = np.asarray(replicates, dtype=np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def bootstrap_by_identity(
    statistics: Callable[[Floats], Mapping[str, Floats]],
    identities_a: ArrayLike,
    identities_b: ArrayLike,
    *,
    n_replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return percentile intervals of statistics of pairs, resampling identities and not pairs.

    Pairs that share a person are not independent; intervals that treat them so are too narrow. Every replicate draws
    as many identities as there are, with replacement. If person i was drawn c_i times, a pair of i and j counts
    c_i c_j times, and a pair of two images of i counts c_i times.

    Args:
        statistics: from weights [b, N] to named statistics, each [b].
        identities_a: [N] identity of each pair's first image.
        identities_b: [N] identity of its second image.
        n_replicates: number of bootstrap replicates.
        seed: the draws depend on it alone.
        level: confidence level.

    Source: Bolle, Ratha and Pankanti, CVIU 93 (2004) 1-25 (subsets bootstrap); Snijders and Borgatti, Connections 22
    (1999) 161-170 (both sides of a pair).
    """
    replicates: dict[str, list[Floats]] = {}
    for weights in identity_weights(identities_a, identities_b, n_replicates=n_replicates, seed=seed):
        for name, values in statistics(weights).items():
            replicates.setdefault(name, []).append(np.asarray(values, dtype=np.float64))
    return {name: percentile_interval(np.concatenate(parts), level) for name, parts in replicates.items()}


def identity_weights(
    identities_a: ArrayLike, identities_b: ArrayLike, *, n_replicates: int, seed: int
) -> Iterator[Floats]:
    """Yield bootstrap weights of N pairs in blocks [b, N]; see ``bootstrap_by_identity``."""
    a, b = np.asarray(identities_a), np.asarray(identities_b)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise DataError(f"pairs of identities of shapes {a.shape} and {b.shape}: give two equal lists, not empty")
    names, codes = np.unique(np.concatenate((a, b)), return_inverse=True)
    first, second = codes[: len(a)], codes[len(a) :]
    mated = first == second
    generator = numpy_generator(seed, "bootstrap_by_identity")
    block = max(1, _BLOCK_ELEMENTS // max(len(a), len(names)))
    for start in range(0, n_replicates, block):
        size = min(block, n_replicates - start)
        drawn = generator.integers(len(names), size=(size, len(names)))
        drawn += np.arange(size)[:, None] * len(names)
        counts = np.bincount(drawn.ravel(), minlength=size * len(names)).reshape(size, -1).astype(np.float64)
        yield counts[:, first] * np.where(mated, 1.0, counts[:, second])
