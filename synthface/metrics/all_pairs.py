"""Every comparison within a small labelled set."""

import numpy as np
from numpy.typing import ArrayLike

from synthface.metrics.verification_summary import ScoredPairs


def all_pairs(vectors: ArrayLike, identities: ArrayLike) -> ScoredPairs:
    """Compare every image with every other, each pair once; all pairs are of one fold.

    Memory grows with N squared: meant for sets of a few thousand images.

    Args:
        vectors: [N, D] unit embeddings.
        identities: [N] names or numbers.

    Raises:
        DataError: no pair is mated, or none is non-mated.
    """
    unit, names = np.asarray(vectors, dtype=np.float64), np.asarray(identities).astype(np.str_)
    rows, columns = np.triu_indices(len(names), k=1)
    return ScoredPairs(
        scores=(unit @ unit.T)[rows, columns],
        same=np.asarray(names[rows] == names[columns]),
        folds=np.zeros(len(rows), dtype=np.int64),
        identities_a=names[rows],
        identities_b=names[columns],
    )
