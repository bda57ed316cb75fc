"""A3: which synthetic classes are nearer to a training person than chance look-alikes in the hold-out explain?"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.chance import ChanceMaxima
from synthface.privacy.multiple_testing import benjamini_hochberg

Scores = NDArray[np.float64]
_ROWS, _COLUMNS = 1024, 4096  # classes, and people, that are scored at once: 50 MB


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
    released: int | None = None,
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
        released: only the first so many rows decide what chance looks like and how many tests there are, as they would
            by themselves; the others are judged by that. All by default.
    """
    released = len(classes) if released is None else released
    n_parts = -(-len(train) // len(holdout))
    order = rng.permutation(len(train))
    bounds = [round(len(train) * part / n_parts) for part in range(n_parts + 1)]
    parts = [order[first:end] for first, end in itertools.pairwise(bounds)]
    control = rng.permutation(len(holdout))[: max(map(len, parts))]
    average_class = _mean(classes[:released])
    near_all = classes @ np.average([_mean(train), _mean(holdout)], axis=0, weights=[len(train), len(holdout)])
    plain, own = (_Maxima(len(classes), n_parts + 1) for _ in range(2))
    for part, people in enumerate([*parts, control]):
        side = holdout if part == n_parts else train
        for rows, some in _blocks(len(classes), people):
            vectors = side[some]
            scores = (classes[rows] @ vectors.T).astype(np.float64)
            scores -= near_all[rows, None]
            plain.take(rows, part, some, scores)
            if released > 1:  # one class alone has no others to compare with
                scores -= vectors.astype(np.float64) @ average_class
                scores *= released / (released - 1)
            own.take(rows, part, some, scores)
    maxima = ChanceMaxima.fit(plain.chance[:released], independent)
    p_values = maxima.p_values(plain.best)
    adjusted = benjamini_hochberg(p_values.ravel()).reshape(p_values.shape)
    nearest, every = plain.best.argmax(axis=1), np.arange(len(classes))
    own_p = ChanceMaxima.fit(own.chance[:released], independent).p_values(own.best[:released])
    return Alarm(
        p_values=p_values[every, nearest],
        adjusted=adjusted.min(axis=1),
        person=plain.person[every, nearest],
        p_global=float(benjamini_hochberg(own_p.ravel()).min()),
        chance=maxima,
        n_tests=p_values[:released].size,
    )


class _Maxima:
    """Best scores of each class so far: among each part of the training people, and, last, among the hold-out."""

    def __init__(self, n_classes: int, n_parts: int) -> None:
        self._best = np.full((n_classes, n_parts), -np.inf)
        self.person = np.zeros((n_classes, n_parts), np.int64)

    @property
    def best(self) -> Scores:
        """[K, parts of the training people]."""
        return self._best[:, :-1]

    @property
    def chance(self) -> Scores:
        """[K] among as many hold-out people as the largest part has."""
        return self._best[:, -1]

    def take(self, rows: slice, part: int, people: NDArray[np.int64], scores: Scores) -> None:
        """Take in [k, n] scores of some classes with some people of one part."""
        winner = scores.argmax(axis=1)
        score = scores[np.arange(len(winner)), winner]
        better = score > self._best[rows, part]
        self._best[rows, part] = np.where(better, score, self._best[rows, part])
        self.person[rows, part] = np.where(better, people[winner], self.person[rows, part])


def _blocks(n_classes: int, people: NDArray[np.int64]) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """Yield blocks of classes and people that are scored at once."""
    for column in range(0, len(people), _COLUMNS):
        for row in range(0, n_classes, _ROWS):
            yield slice(row, min(row + _ROWS, n_classes)), people[column : column + _COLUMNS]


def _mean(vectors: NDArray[np.float32]) -> Scores:
    return np.asarray(vectors.mean(axis=0, dtype=np.float64))
