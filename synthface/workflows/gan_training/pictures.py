"""The pictures of a generator's training: a grid of samples and the curves."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_pictures(
    out: Path, grid: NDArray[np.uint8], seen_images: int, lines: list[dict[str, Any]], events: list[dict[str, Any]]
) -> None:
    """Write ``samples/<images seen>.png`` and ``curves.png``.

    Args:
        out: the run's folder.
        grid: [R, C, H, W, 3]; rows are classes, columns are seeds.
        seen_images: images seen so far.
        lines: lines of metrics.jsonl.
        events: lines of events.jsonl.
    """
    from synthface.report.contact_sheet import contact_sheet
    from synthface.report.training_curves import plot_training_curves

    contact_sheet([list(row) for row in grid]).save(out / "samples" / f"{seen_images:09d}.png")
    plot_training_curves(lines, out / "curves.png", events=events)
