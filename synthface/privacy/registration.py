"""Find the part of a photo that an image shows, where it was cropped at each edge by another amount."""

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.float32]
Boxes = NDArray[np.float64]
_STEPS = 6
_START = 0.02  # share cut off each side, to begin with
_LARGEST_CUT = 0.10
_LARGEST_STEP = 0.03


def register(images: Pictures, photos: Pictures) -> Pictures:
    """Return [P, S, S] the photos cut to what the images show, as far as small crops explain it.

    Gauss-Newton on the four edges, with contrast and brightness free (Lucas and Kanade, IJCAI 1981).

    Args:
        images: [P, S, S].
        photos: [P, S, S], one for each image.
    """
    n, side = len(images), images.shape[1]
    box = np.tile([_START, 1 - _START, _START, 1 - _START], (n, 1))  # top, bottom, left, right
    place = ((np.arange(side) + 0.5) / side).astype(np.float32)
    for _ in range(_STEPS):
        part = cut(photos, box)
        down, right = (np.gradient(part, axis=axis) * side for axis in (1, 2))
        basis = np.stack(
            [
                part,
                np.ones_like(part),
                down * (1 - place)[:, None],
                down * place[:, None],
                right * (1 - place),
                right * place,
            ],
            axis=1,
        ).reshape(n, 6, -1)
        gram = (basis @ basis.transpose(0, 2, 1)).astype(np.float64)
        gram += 1e-6 * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(6) / 6
        target = (basis @ images.reshape(n, -1, 1)).astype(np.float64)
        weights = np.linalg.solve(gram, target)[:, :, 0]
        contrast = np.where(np.abs(weights[:, :1]) > 0.1, weights[:, :1], np.inf)
        size = np.repeat(np.stack([box[:, 1] - box[:, 0], box[:, 3] - box[:, 2]], axis=1), 2, axis=1)
        box += np.clip(weights[:, 2:] / contrast * size, -_LARGEST_STEP, _LARGEST_STEP)
        box[:, ::2] = np.clip(box[:, ::2], 0, _LARGEST_CUT)
        box[:, 1::2] = np.clip(box[:, 1::2], 1 - _LARGEST_CUT, 1)
    return cut(photos, box)


def cut(photos: Pictures, box: Boxes) -> Pictures:
    """Resample [P, S, S] pictures within boxes [P, 4] (top, bottom, left, right as shares) by averaging areas."""
    side = photos.shape[1]
    rows, columns = (_weights(box[:, k], box[:, k + 1], side) for k in (0, 2))
    return np.asarray(rows @ photos @ columns.transpose(0, 2, 1), dtype=np.float32)


def _weights(low: NDArray[np.float64], high: NDArray[np.float64], side: int) -> Pictures:
    edges = side * (low[:, None] + (high - low)[:, None] * np.arange(side + 1) / side)  # [P, S + 1]
    pixel = np.arange(side)
    covered = np.minimum(edges[:, 1:, None], pixel + 1) - np.maximum(edges[:, :-1, None], pixel)
    weights: Pictures = (np.maximum(covered, 0) / np.diff(edges, axis=1)[:, :, None]).astype(np.float32)
    return weights
