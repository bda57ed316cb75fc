"""Distances from a set to real people, beside those of other real people."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import DataError
from synthface.core.seeds import numpy_generator
from synthface.metrics.frechet import frechet_distance, moments
from synthface.metrics.kernel_distance import kernel_distance
from synthface.metrics.manifold import manifold_scores
from synthface.metrics.set_measures import Measure, measure

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]
_LEAST_PEOPLE = 6  # three on either side: what a jackknife needs
_MOST_IMAGES = 4000
_Z95 = 1.959963984540054


def compare_sets(
    vectors: Vectors, labels: Labels, real: Vectors, real_labels: Labels, *, neighbours: int = 5, seed: int = 0
) -> dict[str, Any]:
    """Compare a set with half of the real people, and the other half with them in its place.

    Most of these figures depend on the number of images, so all three sides have the same: the least of the three, and
    at most 4,000, since the cost grows with the square.

    Args:
        vectors: [N, D] features of the set to measure; unit embeddings.
        labels: [N] its identities.
        real: [M, D] features of real images.
        real_labels: [M] their identities.
        neighbours: k of precision, recall, density and coverage.
        seed: of the halves and of the images drawn.

    Returns:
        ``n_images`` on every side, and ``measured`` and ``control`` with the figures of each.

    Raises:
        DataError: fewer than six real people, or too few images.
    """
    people = numpy_generator(seed, "halves").permutation(np.unique(real_labels))
    if len(people) < _LEAST_PEOPLE or len(np.unique(labels)) < _LEAST_PEOPLE // 2:
        raise DataError(
            f"{len(np.unique(labels))} identities beside {len(people)} real people: set distances need at least "
            f"{_LEAST_PEOPLE // 2} and {_LEAST_PEOPLE}"
        )
    first = np.isin(real_labels, people[::2])
    sides = {"reference": np.flatnonzero(first), "control": np.flatnonzero(~first), "measured": np.arange(len(vectors))}
    n = min(_MOST_IMAGES, *map(len, sides.values()))
    drawn = {
        name: np.sort(numpy_generator(seed, "images", name).choice(rows, n, replace=False))
        for name, rows in sides.items()
    }
    reference = real[drawn["reference"]], real_labels[drawn["reference"]]
    others = {
        "measured": (vectors[drawn["measured"]], labels[drawn["measured"]]),
        "control": (real[drawn["control"]], real_labels[drawn["control"]]),
    }
    figures = {name: _distances(*side, *reference, neighbours) for name, side in others.items()}
    return {"n_images": n, "neighbours": neighbours, **figures}


def _distances(
    vectors: Vectors, labels: Labels, real: Vectors, real_labels: Labels, neighbours: int
) -> dict[str, Measure]:
    frechet = frechet_distance(moments(vectors), moments(real))
    kernel = kernel_distance(vectors, real, scale=1.0, groups_a=labels, groups_b=real_labels)
    manifold = asdict(manifold_scores(real, vectors, neighbours=neighbours))
    half = _Z95 * kernel.standard_error
    return {
        "frechet": measure(frechet.value),
        "frechet_of_means": measure(frechet.mean_part),
        "kernel_distance": measure(kernel.value, [kernel.value - half, kernel.value + half]),
        **{name: measure(manifold[name]) for name in ("precision", "recall", "density", "coverage")},
    }
