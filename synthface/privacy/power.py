"""V4: would the alarm find a class that shows a training person? Plant some and count."""

import numpy as np
from numpy.typing import NDArray

from synthface.core.seeds import numpy_generator
from synthface.privacy.chance import centre
from synthface.privacy.config import AuditConfig
from synthface.privacy.flags import Alarm
from synthface.privacy.gallery import Gallery, unit

_CELLS = 4_000_000  # scores of plants with people held at once: 80 MB
_MAX_PLANTS = 500


def people_of_round(n_eligible: int, n: int, rounds: int, seed: int) -> NDArray[np.int64]:
    """Draw people to plant: other ones in each round while there are any who were not planted before.

    Args:
        n_eligible: people who can be planted.
        n: people to draw; fewer where fewer are eligible.
        rounds: which audit of the release this is, from 1.
        seed: of the audit; all rounds go on along one order that depends on it alone.

    Returns:
        Indices of at most n of those eligible, in random order.
    """
    order = numpy_generator(seed, "planted people").permutation(n_eligible)
    return np.roll(order, -(rounds - 1) * n)[:n]


def choose_plants(gallery: Gallery, config: AuditConfig, rounds: int) -> NDArray[np.int64]:
    """Return the indices of a round's training people, with photos enough to plant half of them."""
    eligible = np.flatnonzero(gallery.counts >= config.planted_photos)
    return np.sort(eligible[people_of_round(len(eligible), _MAX_PLANTS, rounds, config.seed)])


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
    step = max(1, _CELLS // len(real))
    for begin in range(0, len(people), step):
        rows = slice(begin, min(begin + step, len(people)))
        scores = (planted[rows] @ real.T).astype(np.float64)
        own = np.arange(len(scores))
        scores[own, people[rows]] = np.einsum("nd,nd->n", planted[rows], remaining[rows])
        scores = centre(scores)[:, : len(gallery)]
        p_values = alarm.chance.p_values(scores[own, people[rows]])
        found[rows] = (scores.argmax(axis=1) == people[rows]) & (p_values <= flag_rate / alarm.n_tests)
    return found
