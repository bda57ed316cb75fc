"""What is to be inverted: vectors with names, chosen from a collection or made from it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inversion.targets.groups import check_targets
from inversion.targets.people_rows import rows_by_person
from synthface.core.errors import ConfigError
from synthface.core.hashing import sha256_json
from synthface.core.seeds import derive_seed, numpy_generator
from synthface.data.embeddings import Embeddings


@dataclass(frozen=True)
class TargetSet:
    """What to invert, in order.

    Attributes:
        vectors: [N, D] unit targets.
        identities: [N] who each target is.
        names: [N] the image behind each target, or another name for it.
        rows: [N] rows of the collection that the targets are, or None where they are none of its images.
        collection: embeddings of real faces that the targets come from, or None for an array without names.
        norms: [N] norms of the embeddings before they were brought to unit length, or None where they are lost.
    """

    vectors: NDArray[np.float32]
    identities: NDArray[np.str_]
    names: NDArray[np.str_]
    rows: NDArray[np.int64] | None = None
    collection: Embeddings | None = None
    norms: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def sha256(self) -> str:
        """Hash of the list of names: the same choice has the same hash, and it tells no name."""
        return sha256_json(self.names.tolist())

    @classmethod
    def of_collection(cls, collection: Embeddings, rows: NDArray[np.int64]) -> "TargetSet":
        """Take some rows of a collection."""
        part = collection.take(rows)
        return cls(check_targets(part.vectors), part.identities, part.images, rows, collection, part.norms)

    @classmethod
    def of_array(
        cls,
        vectors: NDArray[np.floating],
        *,
        prefix: str,
        collection: Embeddings | None = None,
        norms: NDArray[np.float32] | None = None,
    ) -> "TargetSet":
        """Take vectors without names; each counts as a person of its own."""
        names = np.array([f"{prefix}-{row:06d}" for row in range(len(vectors))], dtype=np.str_)
        return cls(check_targets(vectors), names, names, None, collection, norms)

    def take(self, rows: NDArray[np.int64]) -> "TargetSet":
        """Return some of the targets."""
        return replace(
            self,
            vectors=self.vectors[rows],
            identities=self.identities[rows],
            names=self.names[rows],
            rows=None if self.rows is None else self.rows[rows],
            norms=None if self.norms is None else self.norms[rows],
        )

    def raw(self) -> NDArray[np.float32]:
        """Return the targets at their own lengths, or unit where those are lost."""
        return self.vectors if self.norms is None else self.vectors * self.norms[:, None]

    def repeated(self, times: int) -> "TargetSet":
        """Return all targets so many times over: a group of the optimisation then holds different people."""
        return self.take(np.tile(np.arange(len(self)), times))


def choose_rows(n: int, limit: int | None, seed: int) -> NDArray[np.int64]:
    """Return all row numbers, or ``limit`` of them drawn at random, increasing."""
    rows = np.arange(n)
    if limit is not None and limit < n:
        rows = np.sort(numpy_generator(seed, "targets").choice(rows, limit, replace=False))
    return rows


def choose_people(
    identities: NDArray[np.str_], limit: int | None, seed: int, *, photos: int, skip: int = 0
) -> NDArray[np.int64]:
    """Choose people at random who have other photos beside the ones taken, and so many photos of each.

    People stand in the order of a hash of the seed and their name: whoever else is in the collection, the choice
    among the same people is the same, and those skipped, to tune on, never are among those taken.

    Args:
        identities: [F] who each photo shows.
        limit: most photos taken in all; no fewer than ``photos``.
        seed: of the order, and of the photos of each person.
        photos: photos of each person; whoever has fewer than that, or only one, is not chosen.
        skip: people at the beginning of the order who are left out.

    Returns:
        Rows, increasing.

    Raises:
        ConfigError: nobody is left.
    """
    people, counts = np.unique(identities, return_counts=True)
    eligible = people[counts >= max(2, photos)].tolist()
    order = sorted(eligible, key=lambda person: derive_seed(seed, "people", person))[skip:]
    if limit is not None:
        order = order[: limit // photos]
    if not order:
        raise ConfigError(
            f"nobody is left: {len(eligible)} people have {max(2, photos)} photos or more, and {skip} are skipped"
        )
    rows_of = rows_by_person(identities)
    rows = [np.sort(numpy_generator(seed, "photos", person).permutation(rows_of[person])[:photos]) for person in order]
    return np.sort(np.concatenate(rows))
