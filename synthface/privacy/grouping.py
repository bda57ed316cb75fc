"""People or classes put into groups: by how many images they have, by a measure cut into thirds, by an attribute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Names = NDArray[np.str_]
NOT_STATED = "not stated"
_EDGES = (1, 2, 3, 5, 10, 20, 50, 100)  # least number of images of each group
_THIRDS = ("lowest third", "middle third", "highest third")


@dataclass(frozen=True)
class Grouping:
    """Groups of identities, in one or several sets.

    Attributes:
        by: what the groups differ in.
        groups: their names, in the order in which they are told.
        of: [P] group of each identity of a set, identities in sorted order, one array a set.
    """

    by: str
    groups: tuple[str, ...]
    of: tuple[Names, ...]


def by_count(by: str, identities: Sequence[Names]) -> Grouping:
    """Group identities by how many images they have.

    Args:
        by: what is counted, such as "photos a person".
        identities: [N] of each image, one array a set.
    """
    counts = [np.unique(names, return_counts=True)[1] for names in identities]
    words = np.array([_words(first, after) for first, after in zip(_EDGES, (*_EDGES[1:], None), strict=True)])
    groups = tuple(words[np.searchsorted(_EDGES, count, side="right") - 1] for count in counts)
    return Grouping(by, tuple(words.tolist()), groups)


def by_thirds(by: str, identities: Sequence[Names], values: Sequence[NDArray[np.float64]]) -> Grouping:
    """Group identities by the mean of a measure over their images, cut at the thirds of all sets together.

    Args:
        by: the measure.
        identities: [N] of each image, one array a set.
        values: [N] the measure of each image, likewise.
    """
    means = []
    for names, value in zip(identities, values, strict=True):
        rows, counts = np.unique(names, return_inverse=True, return_counts=True)[1:]
        means.append(np.bincount(rows, weights=value) / counts)
    cuts = np.quantile(np.concatenate(means), [1 / 3, 2 / 3])
    thirds = np.array(_THIRDS)
    return Grouping(by, _THIRDS, tuple(thirds[np.searchsorted(cuts, mean, side="left")] for mean in means))


def by_attribute(by: str, identities: Sequence[Names], values: Mapping[str, str]) -> Grouping:
    """Group identities by what is known of each; those without are "not stated".

    Args:
        by: the attribute.
        identities: [N] of each image, one array a set.
        values: by identity.
    """
    people = [np.unique(names).tolist() for names in identities]
    of = tuple(np.array([values.get(name, NOT_STATED) for name in names]) for names in people)
    found = sorted({group for groups in of for group in groups.tolist()} - {NOT_STATED})
    return Grouping(by, (*found, NOT_STATED), of)


def _words(first: int, after: int | None) -> str:
    if after is None:
        return f"{first} or more"
    return str(first) if after == first + 1 else f"{first} to {after - 1}"
