"""The arrays behind an audit's figures, one record a recogniser; private."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class NearPair:
    """A synthetic image and the training photo nearest to it.

    Attributes:
        synthetic: row in the synthetic embeddings.
        train: row in the training embeddings.
        scores: cosine similarity by recogniser.
        same_label: whether the synthetic label is that very person's; None without a label map.
    """

    synthetic: int
    train: int
    scores: dict[str, float]
    same_label: bool | None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What one recogniser measured; None where there was nothing to measure.

    Attributes:
        mated: scores of photo pairs of one hold-out person.
        non_mated: scores of photo pairs of two hold-out people (a sample where there are many).
        nearest_train: [N] best score of each synthetic image against the training photos.
        nearest_holdout: [N] the same against the hold-out photos.
        person_train: [T] mean of each training person's largest scores against the synthetic set.
        person_holdout: [H] the same for the hold-out people.
        other_train: [T'] the same by other photos of training people, as many photos of each as in other_holdout.
        other_holdout: [H'] the same for hold-out people.
        linked: [K] score of each synthetic class with the training person of its label.
        unlinked: scores of synthetic classes with people of other labels (a sample).
        ranks: [K] rank of the right person among all training people, 1 is best.
        pairs: nearest pairs over all classes and people, best first.
    """

    mated: Scores | None = None
    non_mated: Scores | None = None
    nearest_train: Scores | None = None
    nearest_holdout: Scores | None = None
    person_train: Scores | None = None
    person_holdout: Scores | None = None
    other_train: Scores | None = None
    other_holdout: Scores | None = None
    linked: Scores | None = None
    unlinked: Scores | None = None
    ranks: NDArray[np.int64] | None = None
    pairs: tuple[NearPair, ...] = ()
