"""A3: which synthetic classes are nearer to a training person than chance look-alikes in the hold-out explain?"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.chance import ChanceMaxima
from synthface.privacy.multiple_testing import benjamini_hochberg

Scores = NDArray[np.float64]
_ROWS = 1024  # classes scored at once


@dataclass(frozen=True)
class Alarm:
    """Per-class alarm of one recogniser.

    Attributes:
        p_values: [K] p-value of each class's nearest training person, among so many as the chance maxima are of.
        adjusted: [K] p-value of each class, adjusted for the false discovery rate over all classes.
        person: [K] index of the training person it is nearest to.
        p_global: p-value that any class leaks (Simes), by what each person is to this class and not to all.
        chance: what chance maxima look like.
        n_tests: number of comparisons the alarm is corrected for.
    """

    p_values: Scores
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
    independent: int | None = None,
) -> Alarm:
    """Test each class's best training person against the best of equally many hold-out people.

    Training people are dealt into parts no larger than the hold-out, so that each maximum is over as many people as
    the chance maxima are.

    A set of average faces, or a hub, can bring one training person near to all classes at once. That is worth a look,
    and the classes are flagged; but it is one coincidence, not K, and no leak is shown by it. So the p-value that any
    class leaks is taken from scores less those of the same person with the other classes.

    Args:
        classes: [K, D] template of each synthetic class.
        train: [J, D] template of each training person.
        holdout: [M, D] template of each hold-out person.
        rng: deals people into parts.
        independent: how many of the rows are, where they are images: their number of classes.
    """
    n_parts = -(-len(train) // len(holdout))
    order = rng.permutation(len(train))  # part by part, so that each part's scores lie side by side
    bounds = [round(len(train) * part / n_parts) for part in range(n_parts + 1)]
    size = int(np.diff(bounds).max())
    control = slice(len(train), len(train) + size)
    columns = np.concatenate([order, len(train) + rng.permutation(len(holdout))])
    real = np.concatenate([train, holdout])[columns]
    centre, level = _mean(real), real.astype(np.float64) @ _mean(classes)  # of an average person, and class, with each
    plain, own = (_Maxima(len(classes), bounds, control) for _ in range(2))
    for begin in range(0, len(classes), _ROWS):
        rows = slice(begin, min(begin + _ROWS, len(classes)))
        scores = (classes[rows] @ real.T).astype(np.float64)
        scores -= (classes[rows] @ centre)[:, None]
        plain.take(rows, scores)
        if len(classes) > 1:  # one class alone has no others to compare with
            scores -= level
            scores *= len(classes) / (len(classes) - 1)
        own.take(rows, scores)
    maxima = ChanceMaxima.fit(plain.chance, independent)
    p_values = maxima.p_values(plain.best)
    adjusted = benjamini_hochberg(p_values.ravel()).reshape(p_values.shape)
    nearest, every = plain.best.argmax(axis=1), np.arange(len(classes))
    own_p = ChanceMaxima.fit(own.chance, independent).p_values(own.best)
    return Alarm(
        p_values=p_values[every, nearest],
        adjusted=adjusted.min(axis=1),
        person=order[plain.column[every, nearest]],
        p_global=float(benjamini_hochberg(own_p.ravel()).min()),
        chance=maxima,
        n_tests=p_values.size,
    )


class _Maxima:
    """Best scores of each class: among each part of the training people, and among as many hold-out people."""

    def __init__(self, n_classes: int, bounds: list[int], control: slice) -> None:
        self._bounds, self._control = bounds, control
        self.best = np.empty((n_classes, len(bounds) - 1))
        self.column = np.empty(self.best.shape, np.int64)
        self.chance = np.empty(n_classes)

    def take(self, rows: slice, scores: Scores) -> None:
        """Reduce [k, T + H] scores of some classes."""
        self.chance[rows] = scores[:, self._control].max(axis=1)
        for part, (first, end) in enumerate(itertools.pairwise(self._bounds)):
            winner = first + scores[:, first:end].argmax(axis=1)
            self.column[rows, part] = winner
            self.best[rows, part] = scores[np.arange(len(winner)), winner]


def _mean(vectors: NDArray[np.float32]) -> Scores:
    return np.asarray(vectors.mean(axis=0, dtype=np.float64))
