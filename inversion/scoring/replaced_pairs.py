"""Verification as in LFW, with one side or both sides of each pair replaced by the images made from embeddings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inversion.scoring.tallies import Tally
from inversion.targets.people_rows import rows_by_person
from synthface.core.seeds import numpy_generator
from synthface.metrics.verification import ten_fold_accuracy

Rows = NDArray[np.int64]
_MOST_MATED = 10  # pairs that one image takes part in: a person with hundreds of photos must not decide the figure
_FOLDS = 10


@dataclass(frozen=True)
class PairPlan:
    """Comparisons, as many mated as non-mated, in folds that share no person.

    Attributes:
        image: [P] number of the image.
        photo: [P] row of the real photo in the gallery.
        one_same: [P] whether both show one person.
        one_folds: [P] fold.
        first: [Q] number of an image.
        second: [Q] number of another image.
        both_same: [Q] whether both show one person.
        both_folds: [Q] fold.
    """

    image: Rows
    photo: Rows
    one_same: NDArray[np.bool_]
    one_folds: Rows
    first: Rows
    second: Rows
    both_same: NDArray[np.bool_]
    both_folds: Rows


def plan_pairs(owners: NDArray[np.str_], sources: Rows, identities: NDArray[np.str_], *, seed: int = 0) -> PairPlan:
    """Draw the comparisons.

    One side: each image with up to ten other photos of its person, and with as many photos of other people of its
    fold. Both sides: each image with the other images of its person, and with as many of other people of its fold;
    there are none where each person has one image.

    Args:
        owners: [N] who each image shows.
        sources: [N] row of the picture behind each image in the gallery.
        identities: [F] who each photo of the gallery shows.
        seed: seed of the draws.
    """
    generator = numpy_generator(seed, "replaced pairs")
    people, labels = np.unique(owners, return_inverse=True)
    n_folds = min(_FOLDS, len(people) // 2)
    if n_folds < 2:
        empty = np.zeros(0, np.int64)
        return PairPlan(empty, empty, empty.astype(bool), empty, empty, empty, empty.astype(bool), empty)
    fold_of = np.empty(len(people), np.int64)
    fold_of[generator.permutation(len(people))] = np.arange(len(people)) % n_folds
    photos_of, made_of = rows_by_person(identities), rows_by_person(owners)
    photos = [photos_of[person] for person in people.tolist()]
    made = [made_of[person] for person in people.tolist()]
    members = [np.flatnonzero(fold_of == fold) for fold in range(n_folds)]
    one: list[tuple[int, int, bool, int]] = []
    both: list[tuple[int, int, bool, int]] = []
    for k, label in enumerate(labels.tolist()):
        fold = int(fold_of[label])
        strangers = members[fold]
        for rows, own, pairs in ((photos, sources[k], one), (made, k, both)):
            mates = rows[label][rows[label] != own]
            if pairs is both:  # each pair once, and never two images of one template
                mates = mates[(mates > k) & (sources[mates] != sources[k])]
            mates = generator.permutation(mates)[:_MOST_MATED]
            pairs += [(k, int(mate), True, fold) for mate in mates]
            for _ in mates:
                place = int(generator.integers(len(strangers) - 1))  # the last stands in for the person's own place
                other = int(strangers[place] if strangers[place] != label else strangers[-1])
                pairs.append((k, int(generator.choice(rows[other])), False, fold))
    columns = [np.array(pairs, dtype=np.int64).reshape(-1, 4).T for pairs in (one, both)]
    (image, photo, one_same, one_folds), (first, second, both_same, both_folds) = columns
    return PairPlan(image, photo, one_same.astype(bool), one_folds, first, second, both_same.astype(bool), both_folds)


def accuracy_tallies(images: NDArray[np.float32], photos: NDArray[np.float32], plan: PairPlan) -> dict[str, Tally]:
    """Return the right decisions of each image's pairs, at thresholds that are best on the other folds.

    Args:
        images: [N, D] unit embeddings of the images.
        photos: [F, D] of the gallery.
        plan: the comparisons.
    """
    n = len(images)
    sides = {
        "accuracy_one_side": (plan.image, photos[plan.photo], plan.one_same, plan.one_folds),
        "accuracy_both_sides": (plan.first, images[plan.second], plan.both_same, plan.both_folds),
    }
    tallies = {}
    for name, (rows, others, same, folds) in sides.items():
        if len(np.unique(folds)) < 2:
            tallies[name] = Tally(np.zeros(n), np.zeros(n))
            continue
        scores = np.einsum("nd,nd->n", images[rows], others)
        found = ten_fold_accuracy(scores, same, folds)
        threshold = found.thresholds[np.searchsorted(np.unique(folds), folds)]
        right = ((scores >= threshold) == same).astype(np.float64)
        compared = np.bincount(rows, minlength=n).astype(np.float64)
        tallies[name] = Tally(np.bincount(rows, right, minlength=n).astype(np.float64), compared)
    return tallies
