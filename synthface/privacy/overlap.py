"""V2: is anybody both in the training set and in the hold-out?"""

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.chance import ChanceMaxima
from synthface.privacy.gallery import Gallery

_ROWS = 1024


def look_alikes(first: Gallery, second: Gallery, expected: float) -> set[tuple[int, int]]:
    """Return pairs (of ``first``, of ``second``) that are more alike than two people are by chance.

    Chance is the best score of each person of ``second`` among the others there; ``expected`` is the number of people
    of ``first`` that may be named though everybody differs. Fewer than three people: nothing can be said.
    """
    if len(second) < 3:
        return set()
    chance = ChanceMaxima.fit(_best_others(second.templates))
    found: set[tuple[int, int]] = set()
    for begin in range(0, len(first), _ROWS):
        scores = (first.templates[begin : begin + _ROWS] @ second.templates.T).astype(np.float64)
        near = chance.tail(scores) <= expected / len(first)
        found.update((int(i) + begin, int(j)) for i, j in zip(*np.nonzero(near), strict=True))
    return found


def _best_others(templates: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return [P] the best score of each person with another one."""
    best = np.empty(len(templates))
    for begin in range(0, len(templates), _ROWS):
        scores = templates[begin : begin + _ROWS] @ templates.T
        scores[np.arange(len(scores)), begin + np.arange(len(scores))] = -1
        best[begin : begin + len(scores)] = scores.max(axis=1)
    return best
