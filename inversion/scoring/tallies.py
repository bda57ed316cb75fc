"""Shares and means over images, with intervals that resample people."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.metrics.intervals import bootstrap_by_identity, wilson

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tally:
    """A mean as its parts, image by image, so that people can be resampled.

    Attributes:
        sums: [N] sum of an image's values, or its number of successes.
        counts: [N] how many values that is.
        is_share: the values are successes and failures.
    """

    sums: Floats
    counts: Floats
    is_share: bool = True


def summarise(tallies: Mapping[str, Tally], owners: NDArray[np.str_], *, seed: int = 0) -> dict[str, Any]:
    """Return each tally's mean under its name, with ``intervals`` and ``counts`` by the same names.

    The intervals are of 95 %: a bootstrap that draws people, or where a share is 0 or 1, and every replicate would
    be the same, Wilson's interval over the people. A tally without values gives None.

    Args:
        tallies: by name.
        owners: [N] who each image belongs to.
        seed: seed of the bootstrap.
    """
    people, labels = np.unique(owners, return_inverse=True)

    def by_person(values: Floats) -> Floats:
        return np.bincount(labels, values, minlength=len(people)).astype(np.float64)

    filled = {name: tally for name, tally in tallies.items() if tally.counts.sum() > 0}
    parts = {name: (by_person(tally.sums), by_person(tally.counts)) for name, tally in filled.items()}
    means = {name: float(sums.sum() / counts.sum()) for name, (sums, counts) in parts.items()}

    def replicates(weights: Floats) -> dict[str, Floats]:
        with np.errstate(invalid="ignore"):  # a replicate may hold nobody who counts; it is left out
            return {name: (weights @ sums) / (weights @ counts) for name, (sums, counts) in parts.items()}

    drawn = bootstrap_by_identity(replicates, people, people, seed=seed) if filled else {}
    intervals: dict[str, Any] = dict.fromkeys(tallies)
    for name, tally in filled.items():
        intervals[name] = list(drawn[name])
        if tally.is_share and means[name] in (0.0, 1.0):
            n_people = int((parts[name][1] > 0).sum())
            intervals[name] = list(wilson(int(means[name]) * n_people, n_people))
    return {
        **{name: means.get(name) for name in tallies},
        "intervals": intervals,
        "counts": {name: int(tally.counts.sum()) for name, tally in tallies.items()},
    }
