"""Which face of a photo is its subject."""

from typing import Literal

import numpy as np

from synthface.data.detection.mtcnn import Faces

SubjectRule = Literal["central", "largest"]
_CENTRE_SPREAD = 0.25  # of the photo's diagonal


def choose_subject(faces: Faces, width: int, height: int, rule: SubjectRule = "central") -> int:
    """Return the row of the face that the photo is of.

    ``largest`` takes the one with the longest side. ``central`` weighs that side by how near the face is to the
    middle, with a Gaussian of a quarter of the diagonal: photos collected by name, such as LFW's, show their person
    in the middle, and a bystander at the edge may be nearer to the camera.
    """
    size = (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(axis=1)
    if rule == "largest":
        return int(size.argmax())
    centre = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    offset = centre - np.array([width, height]) / 2
    distance = np.hypot(offset[:, 0], offset[:, 1]) / np.hypot(width, height)
    return int((size * np.exp(-0.5 * (distance / _CENTRE_SPREAD) ** 2)).argmax())
