"""Thumbnails of an identity in one WebP image, and how large they may be for a page of a given size."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLUMNS = 16  # thumbnails in a row of the sprite
SIDES = (64, 48, 32)  # pixels a side that are tried, largest first
FEWEST = 4  # images of an identity that are kept before thumbnails get smaller
_QUALITY = 70
_PROBES = 12

ReadImage = Callable[[int], NDArray[np.uint8]]


@dataclass(frozen=True)
class SpritePlan:
    """How thumbnails are made.

    Attributes:
        side: pixels a side.
        per_identity: at most so many of each identity.
        n_bytes: estimated size of all of them in the page.
    """

    side: int
    per_identity: int
    n_bytes: int


def sprite(images: Sequence[NDArray[np.uint8]], side: int) -> bytes:
    """Return images ([H, W, 3] uint8) as thumbnails in a WebP, row by row; the same pixels give the same bytes."""
    n_rows = -(-len(images) // COLUMNS)
    sheet = Image.new("RGB", (min(len(images), COLUMNS) * side, n_rows * side))
    for k, image in enumerate(images):
        picture = Image.fromarray(image)
        if picture.size != (side, side):
            picture = picture.resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(picture, (k % COLUMNS * side, k // COLUMNS * side))
    stream = io.BytesIO()
    sheet.save(stream, "WEBP", quality=_QUALITY, method=4)
    return stream.getvalue()


def as_text(content: bytes) -> str:
    """Return bytes as they stand in the page."""
    return base64.b64encode(content).decode()


def plan_sprites(
    rows: Sequence[Sequence[int]],
    read_image: ReadImage,
    *,
    max_bytes: int,
    side: int | None = None,
    per_identity: int | None = None,
) -> SpritePlan:
    """Choose thumbnails so that all of them take about ``max_bytes`` in the page, by the size of a few identities'.

    Fewer images of each identity are shown before the thumbnails get smaller. What is given is not changed.

    Args:
        rows: the images of each identity.
        read_image: gives an image by its row.
        max_bytes: for all thumbnails, as base64.
        side: pixels a side, if it is given.
        per_identity: images of each identity, if it is given.
    """
    probes = [rows[k * len(rows) // _PROBES] for k in range(_PROBES)] if len(rows) > _PROBES else rows
    images = [[read_image(row) for row in chosen[:COLUMNS]] for chosen in probes]
    most = per_identity or max(map(len, rows))
    plan = SpritePlan(side or SIDES[0], most, 0)
    for pixels in (side,) if side else SIDES:
        n_probed = sum(map(len, images))
        each = sum(len(sprite(chosen, pixels)) for chosen in images) / n_probed * 4 / 3
        fits = most
        while per_identity is None and fits > FEWEST and _total(rows, fits) * each > max_bytes:
            fits = max(FEWEST, int(fits * 0.8))
        plan = SpritePlan(pixels, fits, int(_total(rows, fits) * each))
        if plan.n_bytes <= max_bytes:
            break
    return plan


def _total(rows: Sequence[Sequence[int]], per_identity: int) -> int:
    return sum(min(len(chosen), per_identity) for chosen in rows)
