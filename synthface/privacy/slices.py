"""What the audit found, told apart by groups: of the training people (A5), and of the synthetic classes (A3).

An audit that passes over all may hide a group that is leaked more often: much-photographed people, those of a group
whom few in the training set resemble, classes of poor images. Nothing here changes the verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface.metrics.delong import delong_auc
from synthface.metrics.intervals import clopper_pearson

Scores = NDArray[np.float64]
Names = NDArray[np.str_]
_FEWEST = 10  # people on either side; below it an area means nothing


@dataclass(frozen=True)
class PeopleSlice:
    """Training and hold-out people of one group.

    Attributes:
        recognizer: its name.
        by: what the groups differ in, such as "photos a person".
        group: such as "3 to 4".
        n_train: training people.
        n_holdout: hold-out people.
        auc: of telling one from the other by their scores; None where there are too few.
        interval: of it, each end at the configured confidence.
    """

    recognizer: str
    by: str
    group: str
    n_train: int
    n_holdout: int
    auc: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class ClassSlice:
    """Synthetic classes of one group.

    Attributes:
        by: what the groups differ in, such as "images a class".
        group: such as "10 or more".
        n: classes.
        flagged: those that the alarm of A3 names, under any recogniser.
        interval: Clopper-Pearson interval of their share, each end at the configured confidence.
    """

    by: str
    group: str
    n: int
    flagged: int
    interval: tuple[float, float]


def slice_people(
    recognizer: str,
    by: str,
    groups: Sequence[str],
    group_of: tuple[Names, Names],
    scores: tuple[Scores, Scores],
    confidence: float,
) -> list[PeopleSlice]:
    """Return the membership attack within each group that anybody is in, in the order of ``groups``.

    Args:
        recognizer: its name.
        by: what the groups differ in.
        groups: their names.
        group_of: [T] and [H] group of each training and hold-out person.
        scores: [T] and [H] each person's score against the release.
        confidence: at each end of the intervals.
    """
    slices = []
    for group in groups:
        ours, theirs = (score[names == group] for names, score in zip(group_of, scores, strict=True))
        area, interval = None, None
        if min(len(ours), len(theirs)) >= _FEWEST:
            area, ends = delong_auc(ours, theirs, 2 * confidence - 1)
            interval = (float(ends[0]), float(ends[1]))
        if len(ours) + len(theirs):
            slices.append(PeopleSlice(recognizer, by, group, len(ours), len(theirs), area, interval))
    return slices


def slice_classes(
    by: str, groups: Sequence[str], group_of: Names, flagged: NDArray[np.bool_], confidence: float
) -> list[ClassSlice]:
    """Return how many classes of each group are flagged, in the order of ``groups``.

    Args:
        by: what the groups differ in.
        groups: their names.
        group_of: [K] group of each class.
        flagged: [K] whether the alarm names it.
        confidence: at each end of the intervals.
    """
    slices = []
    for group in groups:
        members = flagged[group_of == group]
        if len(members):
            hits = int(np.count_nonzero(members))
            low, high = clopper_pearson(hits, len(members), 2 * confidence - 1)
            slices.append(ClassSlice(by, group, len(members), hits, (float(low), float(high))))
    return slices
