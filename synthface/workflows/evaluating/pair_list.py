"""The pairs to compare: from a file, from a .bin, or drawn from a FaceSet; of images or of templates."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import DataError
from synthface.core.seeds import numpy_generator
from synthface.data import FaceSet
from synthface.metrics.disjoint_pairs import disjoint_pairs
from synthface.workflows.pairs_file import locate_pairs, open_bin

MAX_MISSING_SHARE = 0.05


@dataclass(frozen=True)
class PairList:
    """The pairs that can be compared, and how many others there were.

    Attributes:
        rows: [N, 2] numbers of the two things compared: images of the FaceSet, or templates.
        same: [N] true where they show one person.
        folds: [N] fold of each pair.
        identities: [N, 2] the persons.
        templates: the images of each template; None where images are compared.
        n_missing: pairs left out because an image is not in the set.
        n_excluded: pairs left out because a person was to be.
    """

    rows: NDArray[np.int64]
    same: NDArray[np.bool_]
    folds: NDArray[np.int64]
    identities: NDArray[np.str_]
    templates: tuple[NDArray[np.int64], ...] | None = None
    n_missing: int = 0
    n_excluded: int = 0


def pairs_of_bin(path: Path) -> tuple[FaceSet, PairList]:
    """Return the images of a .bin verification set, and its pairs."""
    faceset, listed, folds = open_bin(path)
    rows = np.array([pair[:2] for pair in listed], dtype=np.int64)
    identities = np.array([record.identity for record in faceset.records], dtype=np.str_)[rows]
    same = np.array([is_same for _, _, is_same in listed], dtype=bool)
    return faceset, PairList(rows, same, np.array(folds, dtype=np.int64), identities)


def pairs_of_file(path: Path, faceset: FaceSet, excluded: set[str], *, allow_missing: bool) -> PairList:
    """Return the pairs of a file: by path, or in the format of LFW's pairs.txt.

    Raises:
        DataError: more than one pair in twenty names images that the set does not hold, and that is not allowed.
    """
    located = locate_pairs(path, faceset, flag="--pairs")
    n_missing = located.n_listed - len(located.rows)
    if not len(located.rows) or (n_missing > MAX_MISSING_SHARE * located.n_listed and not allow_missing):
        raise DataError(
            f"{n_missing} of {located.n_listed} pairs in {path} name images that --faces {faceset.root} does not hold; "
            "give the FaceSet made from those photos, or --allow-missing"
        )
    identities = np.array([record.identity for record in faceset.records], dtype=np.str_)[located.rows]
    used = ~np.isin(identities, list(excluded)).any(axis=1)
    return PairList(
        located.rows[used],
        located.same[used],
        located.folds[used],
        identities[used],
        n_missing=n_missing,
        n_excluded=int((~used).sum()),
    )


def drawn_pairs(faceset: FaceSet, excluded: set[str], *, per_fold: int, template_size: int, seed: int) -> PairList:
    """Draw pairs in ten folds with nobody in two of them, of images or of templates.

    A person's images are dealt into templates in a seeded order; what does not fill one is the last, smaller one.

    Args:
        faceset: whose people.
        excluded: people to leave out.
        per_fold: mated pairs a fold, and as many non-mated ones.
        template_size: images a template at most; 1 compares images.
        seed: of all draws.
    """
    names = np.array([record.identity for record in faceset.records], dtype=np.str_)
    generator = numpy_generator(seed, "templates")
    templates, persons = [], []
    for name in np.unique(names):
        if name not in excluded:
            dealt = generator.permutation(np.flatnonzero(names == name))
            parts = [np.sort(dealt[start : start + template_size]) for start in range(0, len(dealt), template_size)]
            templates += parts
            persons += [name] * len(parts)
    try:
        drawn = disjoint_pairs(persons, pairs=per_fold, seed=seed)
    except DataError as error:
        raise DataError(f"--draw {per_fold}: {error}") from None
    identities = np.array(persons, dtype=np.str_)[drawn.rows]
    return PairList(drawn.rows, drawn.same, drawn.folds, identities, tuple(templates))
