"""Head pose from five landmarks: a scaled orthographic camera looking at a rigid face.

For points x (image) and X (model), both about their means, x = s [r1; r2] X with the first two rows of a rotation. The
2x3 matrix is found by least squares and replaced by the nearest s [r1; r2] (its singular values made equal), as in the
first step of POSIT: DeMenthon and Davis, IJCV 15, 1995, section 3. Five points fit any head that is near the model;
the model's own error (a longer nose, a smile) goes into the angles: pitch more than yaw, roll least.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Left eye, right eye, tip of the nose, left and right mouth corner as the viewer sees them. Millimetres on a round
# average adult face: x to the viewer's right, y down, z away from the camera.
FACE_MODEL: Floats = np.array(
    [[-32.0, -32.0, 0.0], [32.0, -32.0, 0.0], [0.0, 5.0, -32.0], [-25.0, 35.0, -6.0], [25.0, 35.0, -6.0]]
)


@dataclass(frozen=True)
class HeadPose:
    """Angles of N heads in degrees, [N] each, and how well the model fits.

    Attributes:
        yaw: positive where the face turns to the viewer's right.
        pitch: positive where it looks down.
        roll: positive where it is tilted clockwise as the viewer sees it.
        residual: root mean square distance of landmarks and fitted model, as a share of the distance that the model's
            eyes would have in the image from the front.
    """

    yaw: Floats
    pitch: Floats
    roll: Floats
    residual: Floats


def head_pose(landmarks: NDArray[np.floating]) -> HeadPose:
    """Estimate the pose of faces.

    Args:
        landmarks: [N, 5, 2] (x, y), in the order of ``FACE_MODEL``.
    """
    model = FACE_MODEL - FACE_MODEL.mean(axis=0)
    points = np.asarray(landmarks, np.float64)
    points = points - points.mean(axis=1, keepdims=True)
    affine = np.swapaxes(np.linalg.pinv(model) @ points, 1, 2)  # [N, 2, 3]
    left, sizes, right = np.linalg.svd(affine, full_matrices=False)
    scale = sizes.mean(axis=1)
    rows = left @ right
    forward = np.cross(rows[:, 0], rows[:, 1])
    # R = Rz(roll) Rx(pitch) Ry(yaw): a head first turns, then nods, then tilts
    yaw = np.degrees(np.arctan2(forward[:, 0], forward[:, 2]))
    pitch = np.degrees(np.arcsin(np.clip(forward[:, 1], -1, 1)))
    roll = np.degrees(np.arctan2(-rows[:, 0, 1], rows[:, 1, 1]))
    fitted = scale[:, None, None] * (model @ np.swapaxes(rows, 1, 2))
    miss = np.sqrt(((fitted - points) ** 2).sum(axis=2).mean(axis=1))
    eyes = np.linalg.norm(FACE_MODEL[1] - FACE_MODEL[0])
    return HeadPose(yaw, pitch, roll, miss / np.maximum(scale * eyes, np.finfo(float).tiny))


def rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """Return the rotation of a head by the angles that ``head_pose`` estimates, in degrees."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    turned: Floats = about_z @ about_x @ about_y
    return turned
