"""A face drawn by rule, nobody's: it tells the optimisation where a face lies.

Batch-norm statistics are means over places: they say what features a face has, not where. From noise, several faces
and halves of faces settle side by side. Every recogniser of aligned faces publishes the five points that its inputs
are aligned to; eyes, nose and mouth are drawn there, soft, without any photo.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inversion.config import SIDE
from synthface.data.alignment import TEMPLATE

_Plane = NDArray[np.float64]
# In units of pixels in [-1, 1]: a middle tone of skin, and what is darker or redder than it.
_SKIN, _BACKGROUND, _HAIR = (0.2, -0.1, -0.25), -0.3, -0.6
_EYE, _BROW, _SHADOW, _RIDGE, _LIPS, _CHIN = -0.55, -0.25, -0.2, 0.12, (-0.1, -0.3, -0.25), -0.15


def draw_face() -> Tensor:
    """Return the face, [3, 112, 112] in [-1, 1]."""
    (left, right, nose, *corners) = TEMPLATE.astype(np.float64)
    middle, mouth = nose[0], np.mean(corners, axis=0)
    down, across = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    distance = np.hypot((across - middle) / 40, (down - 66) / 56)
    face = _soft_step(12 * (1 - distance))
    image = np.full((3, SIDE, SIDE), _BACKGROUND) * (1 - face) + _colour(_SKIN) * face
    hair = _soft_step((14 - down) / 5)
    image = image * (1 - hair) + _HAIR * hair
    for eye in (left, right):
        image += _EYE * _spot(across, down, (eye[0], eye[1]), (7, 3.5))
        image += _BROW * _spot(across, down, (eye[0], eye[1] - 10), (9, 3))
    image += _SHADOW * _spot(across, down, (middle, nose[1] + 4.5), (8, 3))
    image += _RIDGE * _spot(across, down, (middle, nose[1] - 10), (4, 12))
    image += _colour(_LIPS) * _spot(across, down, (middle, mouth[1]), (13, 4))
    image += _CHIN * _spot(across, down, (middle, mouth[1] + 9), (12, 2.5))
    return torch.from_numpy(image.clip(-1, 1).astype(np.float32))


def _spot(across: _Plane, down: _Plane, centre: tuple[float, float], radii: tuple[float, float]) -> _Plane:
    distance = np.hypot((across - centre[0]) / radii[0], (down - centre[1]) / radii[1])
    spot: _Plane = np.exp(-(distance**2) / 2)
    return spot


def _soft_step(x: _Plane) -> _Plane:
    return 1 / (1 + np.exp(-x))


def _colour(rgb: tuple[float, float, float]) -> _Plane:
    return np.array(rgb)[:, None, None]
