"""Every comparison within a small labelled set: mated and non-mated pairs with their scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.metrics.intervals import Interval, bootstrap_by_identity
from synthface.metrics.verification import Floats, equal_error_rate
from synthface.metrics.weighted_verification import WeightedPairs


@dataclass(frozen=True)
class Comparisons:
    """All N (N - 1) / 2 pairs of a set.

    Attributes:
        scores: [P] cosine of each pair.
        first: [P] identity of the pair's first image.
        second: [P] identity of its second.
    """

    scores: Floats
    first: NDArray[np.str_]
    second: NDArray[np.str_]

    @property
    def same(self) -> NDArray[np.bool_]:
        """[P] true where the pair is mated."""
        return np.asarray(self.first == self.second)

    @property
    def mated(self) -> Floats:
        """Scores of pairs of one identity."""
        return self.scores[self.same]

    @property
    def non_mated(self) -> Floats:
        """Scores of pairs of two identities."""
        return self.scores[~self.same]


def compare_all(vectors: ArrayLike, identities: ArrayLike) -> Comparisons:
    """Compare every image with every other, each pair once.

    Memory grows with N squared: meant for sets of a few thousand images.

    Args:
        vectors: [N, D] unit embeddings.
        identities: [N] names.
    """
    unit, names = np.asarray(vectors, dtype=np.float64), np.asarray(identities, dtype=np.str_)
    rows, columns = np.triu_indices(len(names), k=1)
    return Comparisons((unit @ unit.T)[rows, columns], names[rows], names[columns])


def separability(comparisons: Comparisons, *, n_replicates: int = 300, seed: int = 0) -> tuple[float, Interval]:
    """Return the equal error rate between mated and non-mated pairs, and its 95 % interval by identity."""
    pairs = WeightedPairs(comparisons.scores, comparisons.same)
    intervals = bootstrap_by_identity(
        lambda weights: {"eer": pairs.roc(weights).equal_error_rate()},
        comparisons.first,
        comparisons.second,
        n_replicates=n_replicates,
        seed=seed,
    )
    return equal_error_rate(comparisons.mated, comparisons.non_mated), intervals["eer"]
