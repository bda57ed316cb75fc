"""Bringing a face to the ArcFace 112x112 template: a similarity from five landmarks, and an antialiased warp."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ALIGNED_SIDE = 112
# Left eye, right eye, nose, left and right mouth corner in the 112x112 crop that ArcFace models expect
# (Deng et al. 2019); (0, 0) is the centre of the first pixel.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
_MAX_SAMPLES = 4  # a side and output pixel; a larger face is first reduced by a whole factor


def similarity(points: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scaling, rotation and shift that brings points nearest to targets (Umeyama 1991, equations 40-42).

    Args:
        points: [N, 2].
        targets: [N, 2].

    Returns:
        [2, 3] matrix M; ``M[:, :2] @ point + M[:, 2]`` has the least summed squared distance; never a mirror image.
    """
    mean_point, mean_target = points.mean(axis=0), targets.mean(axis=0)
    centred, centred_targets = points - mean_point, targets - mean_target
    left, singular, right = np.linalg.svd(centred_targets.T @ centred / len(points))
    signs = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = left @ np.diag(signs) @ right
    scale = (singular * signs).sum() / centred.var(axis=0).sum()
    return np.column_stack([scale * rotation, mean_target - scale * rotation @ mean_point])


def align_face(image: NDArray[np.uint8], landmarks: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the face as a [112, 112, 3] crop with its landmarks at the template; black outside the photo.

    Where the photo is larger than the crop, each output pixel is the mean of k x k bicubic samples, so that
    fine detail is averaged, not aliased. (Pillow's interpolation cuts off fractions: crops are darker than the photo
    by half a level of 255.)

    Args:
        image: [height, width, 3] uint8 RGB.
        landmarks: [5, 2] (x, y) in pixels, (0, 0) at the centre of the first one.
    """
    to_crop = similarity(landmarks, TEMPLATE)
    linear = np.linalg.inv(to_crop[:, :2])
    # Pillow counts from the corner of the first pixel, half a pixel away from its centre.
    shift = 0.5 - linear @ (to_crop[:, 2] + 0.5)
    photo = Image.fromarray(image)
    source_pixels = math.sqrt(abs(np.linalg.det(linear)))  # a side, for one pixel of the crop
    factor = max(1, int(source_pixels / _MAX_SAMPLES))
    if factor > 1:
        photo = photo.reduce(factor)
    n_samples = max(1, math.ceil(source_pixels / factor - 0.05))
    step = linear / (factor * n_samples)
    data = (step[0, 0], step[0, 1], shift[0] / factor, step[1, 0], step[1, 1], shift[1] / factor)
    side = ALIGNED_SIDE * n_samples
    warped = photo.transform((side, side), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    return np.asarray(warped.reduce(n_samples), dtype=np.uint8)
