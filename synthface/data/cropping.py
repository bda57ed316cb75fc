"""From a decoded photo to the 112x112 face that a FaceSet holds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import DataError
from synthface.data.alignment import ALIGNED_SIDE
from synthface.data.images import resize_image


@dataclass(frozen=True)
class Crop:
    """An aligned face with what the manifest says about it (see FaceRecord).

    Attributes:
        image: [112, 112, 3] uint8.
        alignment: ``arcface`` or ``given``.
        landmarks: [5][2] in pixels of the photo, or None.
        quality: detector confidence, or None.
    """

    image: NDArray[np.uint8]
    alignment: str
    landmarks: list[list[float]] | None = None
    quality: float | None = None


def crop_given(image: NDArray[np.uint8]) -> Crop:
    """Take a photo as already aligned: only its size changes.

    Raises:
        DataError: not square; the message is the reason alone.
    """
    height, width = image.shape[:2]
    if height != width:
        raise DataError("not square, so not an aligned face")
    return Crop(resize_image(image, ALIGNED_SIDE, ALIGNED_SIDE), "given")
