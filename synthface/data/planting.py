"""How a training photo may look when it turns up in a release: the images that power is measured with."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthface.data.images import decode_image, resize_image

JPEG_QUALITY = 30
MAX_CROP = 0.05  # of the side, taken off each edge at most
SMALL_SIDE = 32

Picture = NDArray[np.uint8]  # [height, width, 3]


def recompressed(image: Picture, rng: np.random.Generator, max_crop: float = MAX_CROP) -> Picture:
    """Return a mirrored copy with up to ``max_crop`` of the side cut off each edge, saved as a poor JPEG."""
    height, width = image.shape[:2]
    top, bottom, left, right = rng.uniform(0, max_crop, 4)
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    cropped = Image.fromarray(image[:, ::-1]).resize((width, height), Image.Resampling.BICUBIC, box=box)
    stream = io.BytesIO()
    cropped.save(stream, format="JPEG", quality=JPEG_QUALITY)
    return decode_image(stream.getvalue())


def downsampled(image: Picture, side: int = SMALL_SIDE) -> Picture:
    """Return the image brought down to ``side`` pixels a side and up again."""
    height, width = image.shape[:2]
    return resize_image(resize_image(image, side, side), height, width)


def morph(image: Picture, other: Picture, share: float) -> Picture:
    """Blend two aligned faces pixel by pixel: ``share`` of ``image``, the rest of ``other`` (resized to match)."""
    other = resize_image(other, *image.shape[:2])
    blended = share * image.astype(np.float64) + (1 - share) * other
    return np.asarray(np.rint(blended), dtype=np.uint8)
