"""Detect, choose the subject, align: photos in, aligned faces out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import DataError
from synthface.data.alignment import align_face
from synthface.data.cropping import Crop
from synthface.data.detection.mtcnn import FaceDetector, Faces
from synthface.data.detection.subject import SubjectRule, choose_subject


def crop_detected(
    detector: FaceDetector, photos: Sequence[NDArray[np.uint8]], rule: SubjectRule = "central"
) -> list[Crop | DataError]:
    """Return the aligned subject of each photo, or the reason why there is none."""
    return [_crop(photo, faces, rule) for photo, faces in zip(photos, detector.detect(photos), strict=True)]


def _crop(photo: NDArray[np.uint8], faces: Faces, rule: SubjectRule) -> Crop | DataError:
    if not len(faces):
        return DataError("no face found")
    row = choose_subject(faces, photo.shape[1], photo.shape[0], rule)
    landmarks = faces.landmarks[row].round(2)  # rounded before use, so the manifest's numbers give this very crop
    return Crop(align_face(photo, landmarks), "arcface", landmarks.tolist(), round(float(faces.scores[row]), 4))
