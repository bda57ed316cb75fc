"""Boxes as [N, 4] (left, top, right, bottom) in continuous pixels: a picture spans [0, width] x [0, height]."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]


def suppress(
    boxes: Boxes, scores: NDArray[np.floating], threshold: float, *, over: Literal["union", "smaller"] = "union"
) -> NDArray[np.int64]:
    """Return the rows that greedy non-maximum suppression keeps, best score first.

    Args:
        boxes: [N, 4].
        scores: [N]; equal scores are taken in the order given.
        threshold: a box goes if its intersection with a better one, divided by ``over``, is above this.
        over: divide by the union of the two, or by the smaller of them (which also removes a box inside another).
    """
    order = np.argsort(-scores, kind="stable")
    overlap = _overlaps(boxes[order], over) > threshold
    alive = np.ones(len(order), dtype=bool)
    for row in range(len(order)):
        if alive[row]:
            alive[row + 1 :] &= ~overlap[row, row + 1 :]
    return order[alive]


def _overlaps(boxes: Boxes, over: str) -> NDArray[np.float64]:
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    whole = area[:, None] + area[None, :] - shared if over == "union" else np.minimum(area[:, None], area[None, :])
    ratio: NDArray[np.float64] = shared / np.maximum(whole, 1e-9)
    return ratio


def shift(boxes: Boxes, offsets: NDArray[np.floating]) -> Boxes:
    """Move each edge by its offset, given in units of the box's width and height."""
    size = boxes[:, 2:] - boxes[:, :2]
    moved: Boxes = boxes + offsets * np.concatenate([size, size], axis=1)
    return moved


def square(boxes: Boxes) -> Boxes:
    """Return whole-pixel squares with the same centres, as large as the longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    side = np.maximum(np.round((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=1, keepdims=True)), 1)
    corner = np.round(centre - side / 2)
    return np.concatenate([corner, corner + side], axis=1)
