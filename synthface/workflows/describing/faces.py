"""What a detector and simple measures say of images that show one face each, close up."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synthface.data.images import resize_image
from synthface.metrics.head_pose import head_pose
from synthface.metrics.image_quality import contrast, sharpness

if TYPE_CHECKING:
    from synthface.data.detection.mtcnn import FaceDetector

SEARCHED_SIDE = 112  # smaller images are enlarged to it, so that the detector sees what it was trained on
_MARGIN = 28  # pixels around it, the edge repeated: the detector expects some room around a face
MIN_FACE = 0.3  # of the padded image's side; an aligned face fills more than half of it


def describe_images(images: Sequence[NDArray[np.uint8]], detector: "FaceDetector | None") -> list[dict[str, Any]]:
    """Return for each image its sharpness and contrast, and where a face is found its landmarks and pose.

    Args:
        images: [height, width, 3] uint8 each.
        detector: finds the face; None leaves out what needs one.
    """
    found: list[dict[str, Any]] = [{} for _ in images] if detector is None else _find(images, detector)
    for image, facts in zip(images, found, strict=True):
        facts["sharpness"] = round(float(sharpness(image[None])[0]), 3)
        facts["contrast"] = round(float(contrast(image[None])[0]), 5)
    return found


def _find(images: Sequence[NDArray[np.uint8]], detector: "FaceDetector") -> list[dict[str, Any]]:
    from synthface.data.detection.subject import choose_subject

    padded, scales = zip(*map(_enlarge, images), strict=True)
    described: list[dict[str, Any]] = []
    for photo, scale, faces in zip(padded, scales, detector.detect(padded), strict=True):
        if not len(faces):
            described.append({})
            continue
        row = choose_subject(faces, photo.shape[1], photo.shape[0], "central")
        landmarks = (faces.landmarks[row] - _MARGIN + 0.5) / scale - 0.5
        described.append({"confidence": round(float(faces.scores[row]), 5)} | pose_facts(landmarks))
    return described


def _enlarge(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """Return the image with its shorter side at least as long as is searched, with a margin, and its scale."""
    height, width = image.shape[:2]
    scale = max(1.0, SEARCHED_SIDE / min(height, width))
    larger = resize_image(image, round(height * scale), round(width * scale))
    padded = np.pad(larger, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), mode="edge")
    return padded, larger.shape[0] / height


def pose_facts(landmarks: NDArray[np.float64]) -> dict[str, Any]:
    """Return landmarks and pose as JSON values.

    Args:
        landmarks: [5, 2] in pixels of the image.
    """
    rounded = landmarks.round(2)
    pose = head_pose(rounded[None])
    angles = {name: round(float(getattr(pose, name)[0]), 2) for name in ("yaw", "pitch", "roll")}
    return {"landmarks": rounded.tolist(), **angles, "pose_residual": round(float(pose.residual[0]), 4)}
