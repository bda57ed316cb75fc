"""The membership attack on people with few and with many training photos: much-photographed ones are at most risk."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface.data.embeddings import Embeddings
from synthface.metrics.delong import delong_auc

Scores = NDArray[np.float64]
_EDGES = (1, 2, 3, 5, 10)  # least photos of each slice
_FEWEST = 10  # people on either side; below it an area means nothing


@dataclass(frozen=True)
class PhotoSlice:
    """Training and hold-out people with a like number of photos.

    Attributes:
        recognizer: its name.
        photos: "1", "3 to 4", "10 or more".
        n_train: training people.
        n_holdout: hold-out people.
        auc: of telling one from the other by their scores; None where there are too few.
        interval: of it, each end at the configured confidence.
    """

    recognizer: str
    photos: str
    n_train: int
    n_holdout: int
    auc: float | None
    interval: tuple[float, float] | None


def slice_by_photos(
    recognizer: str,
    train: Embeddings,
    holdout: Embeddings,
    scores: tuple[Scores, Scores],
    confidence: float,
) -> list[PhotoSlice]:
    """Return the slices that anybody is in.

    Args:
        recognizer: its name.
        train: training photos; people in sorted order are those of the scores.
        holdout: hold-out photos, likewise.
        scores: each training and each hold-out person's score against the release.
        confidence: at each end of the intervals.
    """
    counts = [np.unique(photos.identities, return_counts=True)[1] for photos in (train, holdout)]
    slices = []
    for first, after in zip(_EDGES, (*_EDGES[1:], None), strict=True):
        parts = [
            score[(count >= first) & (count < (after or np.inf))] for score, count in zip(scores, counts, strict=True)
        ]
        if not len(parts[0]) + len(parts[1]):
            continue
        area, interval = None, None
        if min(map(len, parts)) >= _FEWEST:
            area, ends = delong_auc(parts[0], parts[1], 2 * confidence - 1)
            interval = (float(ends[0]), float(ends[1]))
        slices.append(PhotoSlice(recognizer, _words(first, after), len(parts[0]), len(parts[1]), area, interval))
    return slices


def _words(first: int, after: int | None) -> str:
    if after is None:
        return f"{first} or more"
    return str(first) if after == first + 1 else f"{first} to {after - 1}"
