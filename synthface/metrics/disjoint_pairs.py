"""Verification pairs drawn from any labelled set, with no identity in two folds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.core.errors import DataError
from synthface.core.seeds import numpy_generator


@dataclass(frozen=True)
class PairRows:
    """Pairs of rows of a labelled set, fold by fold, the mated ones of a fold first.

    Attributes:
        rows: [N, 2] the two images.
        same: [N] true where they show one identity.
        folds: [N] fold of each pair.
    """

    rows: NDArray[np.int64]
    same: NDArray[np.bool_]
    folds: NDArray[np.int64]


def disjoint_pairs(labels: ArrayLike, *, folds: int = 10, pairs: int = 300, seed: int = 0) -> PairRows:
    """Draw as many mated as non-mated pairs for each fold, no pair twice, each identity in one fold only.

    A mated pair is drawn by identity first, so that those with many images do not fill the list; so is each side of a
    non-mated one. A threshold that is chosen on nine folds has then not seen anybody of the tenth.

    Args:
        labels: [N] identity of each image.
        folds: folds to make.
        pairs: mated pairs a fold, and as many non-mated ones.
        seed: of all draws.

    Raises:
        DataError: a fold has too few identities or images for that many different pairs.
    """
    numbers = np.asarray(labels)
    members = {name: np.flatnonzero(numbers == name) for name in np.unique(numbers)}
    several = [name for name, rows in members.items() if len(rows) > 1]
    single = [name for name, rows in members.items() if len(rows) == 1]
    generator = numpy_generator(seed, "disjoint pairs")
    # Both kinds are dealt out by themselves, so that every fold has its share of those who can be mated.
    dealt = [generator.permutation(len(kind)) for kind in (several, single)]
    groups = []
    for fold in range(folds):
        own = [members[several[k]] for k in dealt[0][fold::folds]]
        groups.append((own, own + [members[single[k]] for k in dealt[1][fold::folds]]))
    _check([_n_pairs(own, everyone) for own, everyone in groups], pairs)
    drawn: list[tuple[int, int]] = []
    for own, everyone in groups:
        drawn += _mated(generator, pairs, own)
        drawn += _non_mated(generator, pairs, everyone)
    return PairRows(
        rows=np.array(drawn, dtype=np.int64),
        same=np.tile(np.repeat([True, False], pairs), folds),
        folds=np.repeat(np.arange(folds), 2 * pairs),
    )


def _n_pairs(own: list[NDArray[np.int64]], everyone: list[NDArray[np.int64]]) -> tuple[int, int]:
    """Count the mated and the non-mated pairs of a fold."""
    n_images = sum(map(len, everyone))
    n_mated = sum(len(rows) * (len(rows) - 1) // 2 for rows in own)
    return n_mated, n_images * (n_images - 1) // 2 - n_mated


def _check(counts: list[tuple[int, int]], pairs: int) -> None:
    fold = min(range(len(counts)), key=lambda k: min(counts[k]))
    n_mated, n_non_mated = counts[fold]
    most = min(n_mated, n_non_mated)
    if most < pairs:
        advice = f"ask for {most}, the most that all folds have, or give more people" if most else "give more people"
        raise DataError(
            f"fold {fold + 1} of {len(counts)} has {n_mated} mated and {n_non_mated} non-mated pairs, and {pairs} of "
            f"each are wanted: {advice}"
        )


def _mated(generator: np.random.Generator, count: int, groups: list[NDArray[np.int64]]) -> list[tuple[int, int]]:
    """Draw an identity, then one of its pairs that is left; an identity without pairs left goes."""
    left = []
    for rows in groups:
        first, second = np.triu_indices(len(rows), k=1)
        order = generator.permutation(len(first))
        left.append(list(zip(rows[first[order]].tolist(), rows[second[order]].tolist(), strict=True)))
    drawn: list[tuple[int, int]] = []
    while len(drawn) < count:
        k = int(generator.integers(len(left)))
        drawn.append(left[k].pop())
        if not left[k]:
            left.pop(k)
    return drawn


def _non_mated(generator: np.random.Generator, count: int, groups: list[NDArray[np.int64]]) -> list[tuple[int, int]]:
    """Draw two identities, then an image of each, until there are enough different pairs."""
    drawn: dict[tuple[int, int], None] = {}
    while len(drawn) < count:
        a, b = generator.choice(len(groups), 2, replace=False)
        first, second = (int(generator.choice(groups[k])) for k in (a, b))
        drawn[min(first, second), max(first, second)] = None
    return list(drawn)
