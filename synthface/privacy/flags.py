"""A3: which synthetic classes are nearer to a training person than chance look-alikes in the hold-out explain?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.chance import ChanceMaxima, centre
from synthface.privacy.permutation import benjamini_hochberg

Scores = NDArray[np.float64]
_ROWS = 1024  # classes scored at once


@dataclass(frozen=True)
class Alarm:
    """Per-class alarm of one recogniser.

    Attributes:
        adjusted: [K] p-value of each class, adjusted for the false discovery rate over all classes.
        person: [K] index of the training person it is nearest to.
        p_global: p-value that any class leaks (Simes).
        chance: what chance maxima look like.
        n_tests: number of comparisons the alarm is corrected for.
    """

    adjusted: Scores
    person: NDArray[np.int64]
    p_global: float
    chance: ChanceMaxima
    n_tests: int


def raise_alarm(
    classes: NDArray[np.float32],
    train: NDArray[np.float32],
    holdout: NDArray[np.float32],
    rng: np.random.Generator,
) -> Alarm:
    """Test each class's best training person against the best of equally many hold-out people.

    Training people are dealt into parts no larger than the hold-out, so that each maximum is over as many people as
    the chance maxima are.

    Args:
        classes: [K, D] template of each synthetic class.
        train: [J, D] template of each training person.
        holdout: [M, D] template of each hold-out person.
        rng: deals people into parts.
    """
    n_parts = -(-len(train) // len(holdout))
    part_of = rng.permutation(np.arange(len(train)) % n_parts)
    size = int(np.bincount(part_of).max())
    controls = rng.choice(len(holdout), size=size, replace=False)
    best = np.empty((len(classes), n_parts))
    person = np.empty((len(classes), n_parts), np.int64)
    chance = np.empty(len(classes))
    real = np.concatenate([train, holdout])
    for begin in range(0, len(classes), _ROWS):
        rows = slice(begin, min(begin + _ROWS, len(classes)))
        scores = centre((classes[rows] @ real.T).astype(np.float64))
        chance[rows] = scores[:, len(train) + controls].max(axis=1)
        for part in range(n_parts):
            members = np.flatnonzero(part_of == part)
            winner = scores[:, members].argmax(axis=1)
            person[rows, part] = members[winner]
            best[rows, part] = scores[np.arange(len(winner)), members[winner]]
    maxima = ChanceMaxima.fit(chance)
    p_values = maxima.p_values(best)
    adjusted = benjamini_hochberg(p_values.ravel()).reshape(p_values.shape)
    nearest = best.argmax(axis=1)
    return Alarm(
        adjusted=adjusted.min(axis=1),
        person=person[np.arange(len(classes)), nearest],
        p_global=float(adjusted.min()),
        chance=maxima,
        n_tests=p_values.size,
    )
