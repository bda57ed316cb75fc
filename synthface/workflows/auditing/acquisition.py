"""Which images show no face, by the detector of 'synthface prepare'."""

import json
import logging
from pathlib import Path

import numpy as np

from synthface.core.atomic import write_atomic
from synthface.core.cache_folder import cache_folder
from synthface.core.errors import WeightsError
from synthface.core.hashing import canonical_json, sha256_json
from synthface.core.seeds import numpy_generator
from synthface.data import FaceSet
from synthface.data.images import resize_image
from synthface.privacy.acquisition import Acquisition
from synthface.workflows.auditing.inputs import FaceSets, release_side
from synthface.workflows.progress import track

_SIDE = 112  # images of a release, often smaller, are brought to the size of an aligned face
_SMALLEST_FACE = 0.4  # of that side: an aligned face takes up most of it
_IMAGES = 64  # at once
_CONTROL_PHOTOS = 500
_SEED = 0

logger = logging.getLogger(__name__)


def acquire(facesets: FaceSets) -> Acquisition | None:
    """Look for a face in every synthetic image, and in hold-out photos at the same resolution.

    Returns None, and logs why, where the detector's weights are not installed.
    """
    synthetic, holdout = facesets["synthetic"], facesets.get("holdout")
    try:
        missed = without_face(synthetic, range(len(synthetic)))
        control = None
        if holdout is not None:
            drawn = numpy_generator(_SEED, "faces of the hold-out").permutation(len(holdout))[:_CONTROL_PHOTOS]
            rows = np.sort(drawn).tolist()
            control = len(without_face(holdout, rows, release_side(synthetic))) / len(rows)
    except WeightsError as error:
        logger.warning("not checked whether every image shows a face: %s", error)
        return None
    return Acquisition(tuple(synthetic.records[row].path for row in missed), control)


def without_face(faceset: FaceSet, rows: range | list[int], via_size: int | None = None) -> list[int]:
    """Return the rows of the images in which the detector finds no face; kept in the cache.

    Args:
        faceset: the images.
        rows: those to search.
        via_size: pixels a side that they are brought to first.

    Raises:
        WeightsError: the detector is not installed.
    """
    key = sha256_json([faceset.manifest_sha256, list(rows), via_size, _SIDE, _SMALLEST_FACE])
    path = cache_folder("faces") / f"{key[:32]}.json"
    found = _read(path)
    if found is None:
        found = _search(faceset, list(rows), via_size)
        write_atomic(path, canonical_json(found).encode())
    return found


def _read(path: Path) -> list[int] | None:
    try:
        return [int(row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return None


def _search(faceset: FaceSet, rows: list[int], via_size: int | None) -> list[int]:
    from synthface.data.detection.mtcnn import DetectorConfig, FaceDetector

    detector = FaceDetector(DetectorConfig(min_face=_SMALLEST_FACE))  # on the CPU: the same faces on every machine
    missed: list[int] = []
    begins = range(0, len(rows), _IMAGES)
    for begin in (
        track(begins, description="looking for faces", total=len(begins), unit="batch") if len(begins) > 1 else begins
    ):
        part = rows[begin : begin + _IMAGES]
        images = (faceset.read_image(row) for row in part)
        small = (image if via_size is None else resize_image(image, via_size, via_size) for image in images)
        faces = detector.detect([resize_image(image, _SIDE, _SIDE) for image in small])
        missed += [row for row, one in zip(part, faces, strict=True) if not len(one)]
    return missed
