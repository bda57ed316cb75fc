"""Mated and non-mated scores of a labelled set whose non-mated pairs are too many to hold."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.core.seeds import numpy_generator
from synthface.metrics.verification_summary import ScoredPairs

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
_MAX_NON_MATED = 1_000_000
_FEWEST_SHIFTS = 32
_BLOCK = 16_384  # pairs whose vectors are gathered at a time


def mated_and_non_mated(
    vectors: ArrayLike, labels: ArrayLike, *, max_non_mated: int = _MAX_NON_MATED
) -> tuple[Floats, Floats]:
    """Return the cosines of all mated pairs, and of at most about ``max_non_mated`` non-mated ones.

    Args:
        vectors: [N, D] unit embeddings.
        labels: [N] identity of each.
        max_non_mated: pairs to stop at.
    """
    unit, names = np.asarray(vectors), np.asarray(labels)
    kinds = (_mated_rows(names), _non_mated_rows(names, max_non_mated))
    mated, non_mated = (np.concatenate([np.zeros(0), *(row_products(unit, *rows) for rows in kind)]) for kind in kinds)
    return mated, non_mated


def sampled_pairs(vectors: ArrayLike, labels: ArrayLike, *, max_non_mated: int = _MAX_NON_MATED) -> ScoredPairs:
    """Return the same pairs with the identities they belong to, all of one fold: what intervals need.

    Raises:
        DataError: no pair is mated, or none is non-mated.
    """
    unit, names = np.asarray(vectors), np.asarray(labels)
    parts = [
        (same, row_products(unit, first, second), names[first], names[second])
        for same, kind in ((True, _mated_rows(names)), (False, _non_mated_rows(names, max_non_mated)))
        for first, second in kind
    ]
    same, scores, identities_a, identities_b = zip(*parts, strict=True) if parts else ((), (), (), ())
    sizes = [len(part) for part in scores]
    return ScoredPairs(
        scores=np.concatenate([np.zeros(0), *scores]),
        same=np.repeat(np.array(same, dtype=bool), sizes),
        folds=np.zeros(sum(sizes), dtype=np.int64),
        identities_a=np.concatenate([names[:0], *identities_a]).astype(np.str_),
        identities_b=np.concatenate([names[:0], *identities_b]).astype(np.str_),
    )


def row_products(vectors: NDArray[np.floating[Any]], first: Rows, second: Rows) -> Floats:
    """Return the products of pairs of rows, [n] in float64; gathers a block of them at a time.

    Args:
        vectors: [N, D].
        first: [n] rows.
        second: [n] rows.
    """
    products = np.empty(len(first))
    for start in range(0, len(first), _BLOCK):
        some = slice(start, start + _BLOCK)
        products[some] = np.einsum("nd,nd->n", vectors[first[some]], vectors[second[some]], dtype=np.float64)
    return products


def _mated_rows(names: NDArray[np.generic]) -> Iterator[tuple[Rows, Rows]]:
    """Yield every mated pair once, identity by identity."""
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        first, second = np.triu_indices(len(members), k=1)
        yield members[first], members[second]


def _non_mated_rows(names: NDArray[np.generic], max_non_mated: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield non-mated pairs: rows with row + s, for evenly spaced shifts s.

    With all shifts up to N/2, which is what small sets get, that is every pair once; with fewer every row takes part
    alike. Of so many rows that a few shifts would use up the pairs, each shift takes some at random, always the same:
    sets are sorted by identity, and the first shift alone would only compare neighbours.
    """
    n = len(names)
    n_shifts = min(n // 2, max(_FEWEST_SHIFTS, max_non_mated // max(n, 1)))
    per_shift = max(1, max_non_mated // max(n_shifts, 1))
    for shift in np.unique(np.linspace(1, n // 2, n_shifts).astype(int)).tolist():
        rows = np.arange(n // 2 if 2 * shift == n else n)  # halfway round, a pair would come up from both its ends
        if per_shift < len(rows):
            some = numpy_generator(0, "non-mated rows", shift).choice(len(rows), per_shift, replace=False)
            rows = np.sort(some)
        others = (rows + shift) % n
        differ = names[rows] != names[others]
        yield rows[differ], others[differ]
