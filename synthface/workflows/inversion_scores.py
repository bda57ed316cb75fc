"""What the inverted recogniser and its judges see in the saved images."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthface.core.errors import DataError
from synthface.data import Embeddings, FaceSet
from synthface.workflows.pairs_file import locate_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from inversion.scoring import Gallery, Threshold
    from inversion.target_file import TargetSet
    from synthface.recognition import Recognizer


@dataclass(frozen=True)
class Grader:
    """A recogniser that scores images, with what it sees in the targets.

    Attributes:
        recognizer: the inverted one, or a judge.
        targets: [N, D] the targets themselves, or a judge's unit embeddings of their pictures.
        gallery: the whole collection under this recogniser; None where targets came without names.
        threshold: at FMR 0.1 %; None without a gallery, or with too few pairs in it.
    """

    recognizer: "Recognizer"
    targets: "NDArray[np.float32]"
    gallery: "Gallery | None"
    threshold: "Threshold | None"

    def score(self, images: "NDArray[np.uint8]", identities: "NDArray[np.str_]", seed: int) -> dict[str, Any]:
        """Score [N, 112, 112, 3] uint8 images as read from their files."""
        from inversion.scoring import attack_success, score_images

        embeddings = self.recognizer.embed(images)
        success = None
        if self.gallery is not None and self.threshold is not None:
            success = attack_success(embeddings, self.gallery, self.threshold, seed=seed)
        return {**score_images(embeddings, self.targets, identities, seed=seed), "attack_success": success}


def make_grader(
    recognizer: "Recognizer",
    targets: "TargetSet",
    collection: Embeddings | None,
    pairs: "NDArray[np.int64] | None",
    seed: int,
    *,
    inverted: bool = False,
) -> Grader:
    """Prepare a recogniser for scoring.

    Args:
        recognizer: the recogniser.
        targets: what was inverted.
        collection: embeddings of the whole collection under this recogniser; None where targets came without names.
        pairs: rows of the collection to take the threshold from; None takes all cross-identity pairs.
        seed: seed of the images that thresholds are taken from, where there are very many.
        inverted: this recogniser made the targets.
    """
    from inversion.scoring import Gallery, cross_identity_threshold, pairs_threshold

    if collection is None:
        return Grader(recognizer, targets.vectors, None, None)
    gallery = Gallery(collection.vectors, collection.identities, targets.rows)
    threshold = cross_identity_threshold(gallery, seed=seed) if pairs is None else pairs_threshold(gallery, pairs)
    own = targets.vectors if inverted else collection.vectors[targets.rows]
    return Grader(recognizer, own, gallery, threshold)


def non_mated_rows(path: Path, faceset: FaceSet) -> "NDArray[np.int64]":
    """Read the non-mated pairs of an LFW pairs file as [P, 2] rows of a FaceSet.

    Raises:
        DataError: the file cannot be read, or none of its pairs is in the FaceSet.
    """
    _, found, row_of = locate_pairs(path, faceset, flag="--threshold-pairs")
    rows = [[row_of[pair.first], row_of[pair.second]] for pair in found if not pair.same]
    if not rows:
        raise DataError(f"--threshold-pairs {path}: none of its non-mated pairs is in {faceset.root}")
    return np.array(rows, dtype=np.int64)


def table(results: dict[str, Any]) -> str:
    """Return the scores as lines of text."""
    from synthface.report.inversion_page import HEADINGS, score_rows

    rows = [HEADINGS, *score_rows(results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"
