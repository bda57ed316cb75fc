"""Embeddings sorted by person, with at most so many photos each: what a search runs over."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from synthface.data.embeddings import Embeddings


@dataclass(frozen=True)
class Gallery:
    """Photos in blocks by person.

    Attributes:
        vectors: [N, D] float32 unit embeddings, one person after the other.
        rows: [N] row of each in the embeddings it was made from.
        people: [P] identities, sorted.
        starts: [P] first row of each person.
    """

    vectors: NDArray[np.float32]
    rows: NDArray[np.int64]
    people: NDArray[np.str_]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.people)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """[P] photos of each person."""
        return np.diff(np.append(self.starts, len(self.vectors)))

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """[N] index of the person each photo shows."""
        return np.repeat(np.arange(len(self.people)), self.counts)

    @cached_property
    def templates(self) -> NDArray[np.float32]:
        """[P, D] unit mean embedding of each person."""
        return unit(np.add.reduceat(self.vectors.astype(np.float64), self.starts, axis=0))

    def take(self, people: NDArray[np.int64]) -> "Gallery":
        """Return the gallery of some people (indices, in the order wanted)."""
        counts = self.counts[people]
        starts = np.cumsum(counts) - counts
        photos = np.arange(counts.sum()) + np.repeat(self.starts[people] - starts, counts)
        return Gallery(self.vectors[photos], self.rows[photos], self.people[people], starts)


def build_gallery(embeddings: Embeddings, images_per_identity: int) -> Gallery:
    """Sort by identity and keep at most so many photos a person, spread evenly over them.

    The cap keeps a much-photographed person from owning the largest scores by number alone.
    """
    order = np.argsort(embeddings.identities, kind="stable")
    people, starts, counts = np.unique(embeddings.identities[order], return_index=True, return_counts=True)
    kept = [
        start + np.linspace(0, count - 1, min(count, images_per_identity)).round().astype(np.int64)
        for start, count in zip(starts, counts, strict=True)
    ]
    rows = order[np.concatenate(kept)].astype(np.int64)
    ends = np.cumsum(np.minimum(counts, images_per_identity))
    return Gallery(embeddings.vectors[rows], rows, people, np.append(0, ends[:-1]).astype(np.int64))


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scale [N, D] vectors to length 1; a zero vector stays zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (vectors / np.where(length > 0, length, 1)).astype(np.float32)
    return scaled
