"""A1: which synthetic images are copies of a photo, found by one measure and confirmed by another.

Candidates come from two perceptual hashes (and from the recognisers' nearest photos, where these are given). Hashes of
aligned faces agree by chance far too often to decide: about one pair in 8,000. So each candidate is registered
(``registration``) and compared in what both hashes throw away, the fine detail; only there is it confirmed. Detail
survives JPEG, mirroring, scaling, crops and other brightness; two photos of one person do not share it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.registration import register
from synthface.privacy.signatures import ImageSignatures

_CELLS = 4_000_000  # pairs of hashes compared at once: 32 MB
_PAIRS = 1024  # candidates confirmed at once

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Copies:
    """Images confirmed as copies, the surest photo of each.

    Attributes:
        images: [C] row of the copy, ascending.
        photos: [C] row of the photo.
        correlation: [C] of their detail, 1 for equal pictures.
        mirrored: [C] whether it is the mirrored image that agrees.
        n_candidates: pairs that were compared in detail.
        highest: best correlation of any candidate, confirmed or not; NaN without candidates.
    """

    images: Rows
    photos: Rows
    correlation: NDArray[np.float64]
    mirrored: NDArray[np.bool_]
    n_candidates: int
    highest: float

    def __len__(self) -> int:
        return len(self.images)


def find_copies(
    images: ImageSignatures,
    photos: ImageSignatures,
    *,
    max_bits: int,
    min_correlation: float,
    nearest: Rows | None = None,
) -> Copies:
    """Find the images that are copies of a photo, mirrored or not.

    Args:
        images: signatures of the set that is searched.
        photos: signatures of the photos that may have been copied.
        max_bits: Hamming distance, of 64 bits, up to which either hash makes a pair a candidate.
        min_correlation: correlation of the detail from which a candidate is confirmed.
        nearest: [N, r] photos that recognisers find nearest to each image: candidates that no crop hides from.
    """
    pairs, best, mirrored = [], [], []
    for mirror in (False, True):
        view = images.mirrored() if mirror else images
        candidates = np.concatenate([_near_hashes(view, photos, max_bits), _as_pairs(nearest)])
        candidates = np.unique(candidates, axis=0)
        pairs.append(candidates)
        best.append(detail_correlation(view, photos, candidates))
        mirrored.append(np.full(len(candidates), mirror))
    rows, score, flipped = np.concatenate(pairs), np.concatenate(best), np.concatenate(mirrored)
    order = np.argsort(-score, kind="stable")
    order = order[score[order] >= min_correlation]
    confirmed, first = np.unique(rows[order, 0], return_index=True)
    chosen = order[first]
    return Copies(
        images=confirmed,
        photos=rows[chosen, 1],
        correlation=score[chosen],
        mirrored=flipped[chosen],
        n_candidates=len(rows),
        highest=float(score.max()) if len(score) else float("nan"),
    )


def detail_correlation(images: ImageSignatures, photos: ImageSignatures, pairs: Rows) -> NDArray[np.float64]:
    """Return [P] how well the detail of each (image, photo) pair [P, 2] agrees, as they are or after registration."""
    result = np.empty(len(pairs))
    for begin in range(0, len(pairs), _PAIRS):
        rows = pairs[begin : begin + _PAIRS]
        ours, theirs = images.take(rows[:, 0]), photos.take(rows[:, 1])
        part = ImageSignatures(theirs.images, register(ours.pictures, theirs.pictures))
        scores = [np.einsum("nij,nij->n", ours.detail, view.detail) for view in (theirs, part)]
        result[begin : begin + _PAIRS] = np.maximum(*scores)
    return result


def _near_hashes(images: ImageSignatures, photos: ImageSignatures, max_bits: int) -> Rows:
    """Return [C, 2] the pairs of which either hash differs by at most so many bits."""
    found = [np.empty((0, 2), np.int64)]
    rows = max(1, _CELLS // max(1, len(photos)))
    for begin in range(0, len(images), rows):
        block = slice(begin, begin + rows)
        near = _within(images.difference_hash[block], photos.difference_hash, max_bits)
        near |= _within(images.frequency_hash[block], photos.frequency_hash, max_bits)
        pairs = np.argwhere(near)
        pairs[:, 0] += begin
        found.append(pairs)
    return np.concatenate(found)


def _within(first: NDArray[np.uint64], second: NDArray[np.uint64], max_bits: int) -> NDArray[np.bool_]:
    return np.asarray(np.bitwise_count(first[:, None] ^ second[None]) <= max_bits)


def _as_pairs(nearest: Rows | None) -> Rows:
    if nearest is None:
        return np.empty((0, 2), np.int64)
    return np.stack([np.repeat(np.arange(len(nearest)), nearest.shape[1]), nearest.ravel()], axis=1).astype(np.int64)
