"""V4: would the alarm find a class that shows a training person? Plant some and count."""

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.chance import centre
from synthface.privacy.config import AuditConfig
from synthface.privacy.flags import Alarm
from synthface.privacy.gallery import Gallery, unit

_ROWS = 1024
_MAX_PLANTS = 500


def choose_plants(gallery: Gallery, config: AuditConfig, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the indices of training people with photos enough to plant half of them."""
    eligible = np.flatnonzero(gallery.counts >= config.planted_photos)
    return np.sort(rng.permutation(eligible)[:_MAX_PLANTS])


def split_photos(gallery: Gallery, people: NDArray[np.int64], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return for each person the rows of a random half of the photos: the plant; the rest stay in the gallery."""
    return [
        gallery.starts[person] + rng.permutation(gallery.counts[person])[: gallery.counts[person] // 2]
        for person in people
    ]


def found_plants(
    gallery: Gallery,
    holdout: NDArray[np.float32],
    alarm: Alarm,
    people: NDArray[np.int64],
    planted_rows: list[NDArray[np.int64]],
    flag_rate: float,
) -> NDArray[np.bool_]:
    """Say which plants the alarm would name, each as if it were the only leak in the release.

    A plant is found if its best training person is the right one, from photos that are not planted, and its p-value
    passes the strictest step of the alarm (a flag among n tests needs p <= rate / n).

    Args:
        gallery: training people.
        holdout: [M, D] templates of hold-out people.
        alarm: of the release.
        people: [n] indices of the planted people.
        planted_rows: gallery rows of each plant.
        flag_rate: false discovery rate of the alarm.
    """
    vectors = gallery.vectors.astype(np.float64)
    planted = unit(np.stack([vectors[rows].sum(axis=0) for rows in planted_rows]))
    whole = np.add.reduceat(vectors, gallery.starts, axis=0)[people]
    remaining = unit(whole - np.stack([vectors[rows].sum(axis=0) for rows in planted_rows]))
    real = np.concatenate([gallery.templates, holdout])
    found = np.zeros(len(people), dtype=bool)
    for begin in range(0, len(people), _ROWS):
        rows = slice(begin, min(begin + _ROWS, len(people)))
        scores = (planted[rows] @ real.T).astype(np.float64)
        own = np.arange(len(scores))
        scores[own, people[rows]] = np.einsum("nd,nd->n", planted[rows], remaining[rows])
        scores = centre(scores)[:, : len(gallery)]
        p_values = alarm.chance.p_values(scores[own, people[rows]])
        found[rows] = (scores.argmax(axis=1) == people[rows]) & (p_values <= flag_rate / alarm.n_tests)
    return found
