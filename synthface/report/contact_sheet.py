"""Many small images in one: rows by columns, with optional labels beside the rows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw


def contact_sheet(
    rows: Sequence[Sequence[NDArray[np.uint8]]],
    *,
    labels: Sequence[str] | None = None,
    side: int | None = None,
    gap: int = 2,
) -> Image.Image:
    """Lay out images of one size in a grid.

    Args:
        rows: rows of [H, W, 3] uint8 images; rows may differ in length.
        labels: a text for each row, drawn to its left.
        side: side of a cell in pixels; default is the images' own.
        gap: pixels between cells.
    """
    height, width = (side, side) if side else rows[0][0].shape[:2]
    margin = 8 + 7 * max(map(len, labels)) if labels else 0
    n_columns = max(map(len, rows))
    sheet = Image.new("RGB", (margin + n_columns * (width + gap) - gap, len(rows) * (height + gap) - gap), "white")
    draw = ImageDraw.Draw(sheet)
    for r, row in enumerate(rows):
        top = r * (height + gap)
        if labels:
            draw.text((4, top + height // 2 - 5), labels[r], fill="black")
        for c, image in enumerate(row):
            cell = Image.fromarray(image)
            if cell.size != (width, height):
                cell = cell.resize((width, height), Image.Resampling.LANCZOS)
            sheet.paste(cell, (margin + c * (width + gap), top))
    return sheet
