"""The page that the quickstart ends with: what the project is for, on one example."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthface.report.contact_sheet import contact_sheet
from synthface.report.figures import BLUE, ORANGE, density_figure
from synthface.report.page import image_uri, render_page

Images = Sequence[Sequence[NDArray[np.uint8]]]
_WALL_ROWS = 25


def quickstart_page(
    *,
    rows: Images,
    inversion_sheet: Path,
    figures: Mapping[str, Any],
    mated: NDArray[np.float64],
    non_mated: NDArray[np.float64],
    audit: Mapping[str, Any],
    folder: Path,
    programs: Path,
) -> str:
    """Return the page as HTML.

    Args:
        rows: the generated images, one row an identity.
        inversion_sheet: contact sheet of the inversion, target beside result.
        figures: the numbers of ``summary.json``.
        mated: scores of pairs of one identity.
        non_mated: scores of pairs of two identities.
        audit: the content of ``audit.json``.
        folder: where the commands for one's own photos begin, absolute.
        programs: folder of the ``synthface`` command, absolute.
    """
    halves = [rows[start : start + _WALL_ROWS] for start in range(0, len(rows), _WALL_ROWS)]
    with Image.open(inversion_sheet) as sheet:
        inversion = image_uri(sheet.convert("RGB"), "png")
    return render_page(
        "quickstart.html",
        walls=[image_uri(contact_sheet(half)) for half in halves],
        curves=density_figure(
            "mated",
            f"Mated scores lie above non-mated ones; equal error rate {figures['eer']:.3f}",
            {"two people": (non_mated, BLUE), "one person": (mated, ORANGE)},
            x_label="cosine similarity",
            bin_width=0.02,
        ),
        inversion=inversion,
        figures=figures,
        audit=audit,
        folder=shlex.quote(str(folder)),
        programs=shlex.quote(str(programs)),
    )
