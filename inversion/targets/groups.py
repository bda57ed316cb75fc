"""Cutting targets into groups of fixed size, and companions for groups that are too small for the prior."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inversion.config import InversionConfig
from inversion.unit_rows import unit_rows
from synthface.core.errors import DataError
from synthface.core.seeds import numpy_generator


@dataclass(frozen=True)
class Group:
    """Targets that are optimised together.

    Attributes:
        number: which group.
        indices: the targets' numbers; they seed the start and the views.
        targets: [n, D] float32 unit vectors.
        norms: [n] float32, how long each target was.
        companions: [m, D] float32 unit vectors that take part and are thrown away.
        candidates: images made of each target.
    """

    number: int
    indices: tuple[int, ...]
    targets: NDArray[np.float32]
    norms: NDArray[np.float32]
    companions: NDArray[np.float32]
    candidates: int = 1

    @property
    def seed_parts(self) -> list[str]:
        """What seeds each member: all targets, all their second candidates and so on, then the companions."""
        first = [f"target {index}" for index in self.indices]
        others = [f"target {index} candidate {c}" for c in range(1, self.candidates) for index in self.indices]
        return [*first, *others, *(f"companion {self.number} {k}" for k in range(len(self.companions)))]

    def members(self, templates: NDArray[np.float32] | None = None, seed: int = 0) -> NDArray[np.float32]:
        """Return unit targets of all members, in the order of ``seed_parts``.

        Args:
            templates: [N, D] unit templates of all targets in another recogniser's space, instead of the group's own;
                companions then get random directions of that space.
            seed: seed of those.
        """
        if templates is None:
            return np.concatenate([self.targets] * self.candidates + [self.companions])
        generator = numpy_generator(seed, "companions of an ensemble", self.number, templates.shape[1])
        companions = unit_rows(generator.normal(size=(len(self.companions), templates.shape[1])))
        return np.concatenate([templates[list(self.indices)]] * self.candidates + [companions])

    def raw_members(self) -> NDArray[np.float32]:
        """Return the targets of all members at their own lengths; companions have the targets' median length."""
        lengths = np.full(len(self.companions), np.median(self.norms), np.float32)
        return self.members() * np.concatenate([self.norms] * self.candidates + [lengths])[:, None]


def plan_groups(targets: NDArray[np.floating], config: InversionConfig, seed: int) -> list[Group]:
    """Cut the targets, in order, into groups of ``config.group_size``.

    The batch-norm prior speaks of a batch of people: a lone face asked to have a population's variance loses its
    identity. A group below ``config.least_batch`` is therefore filled with companions, random directions of the
    embedding space drawn from the seed and the group's number.

    Guaranteed: a target's starts and views depend on the seed, the config and its own number alone. Its image depends,
    beyond that, on the other targets of its group, through the batch statistics and an image they share, and on
    nothing in other groups: groups may run in any order, on any machine of one kind.

    Raises:
        DataError: the targets are not [N, D], hold NaN or infinity, or a row is zero.
    """
    vectors = check_targets(targets)
    norms = np.linalg.norm(np.asarray(targets, np.float64), axis=1).astype(np.float32)
    groups = []
    for number, start in enumerate(range(0, len(vectors), config.group_size)):
        rows = slice(start, start + config.group_size)
        indices = tuple(range(len(vectors))[rows])
        missing = max(0, config.least_batch - len(indices) * config.candidates)
        companions = unit_rows(numpy_generator(seed, "companions", number).normal(size=(missing, vectors.shape[1])))
        groups.append(Group(number, indices, vectors[rows], norms[rows], companions, config.candidates))
    return groups


def check_targets(targets: NDArray[np.floating] | Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """Return the targets as [N, D] float32 unit vectors.

    Raises:
        DataError: the targets are not [N, D], hold NaN or infinity, or a row is zero.
    """
    vectors = np.asarray(targets)
    if vectors.ndim != 2 or 0 in vectors.shape or not np.issubdtype(vectors.dtype, np.number):
        raise DataError(
            f"targets of shape {vectors.shape} and type {vectors.dtype}: give one row of numbers a target, [N, D]"
        )
    vectors = vectors.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise DataError(f"{len(bad)} targets hold NaN or infinity (first: row {bad[0]}); leave those rows out")
    empty = np.flatnonzero(np.linalg.norm(vectors, axis=1) < 1e-6)
    if len(empty):
        raise DataError(f"{len(empty)} targets are zero vectors (first: row {empty[0]}); leave those rows out")
    return unit_rows(vectors)
