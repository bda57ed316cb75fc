"""The page of a verification benchmark: the table with its intervals, the curves, and what they do not show."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthface.report.page import percent, render_page
from synthface.report.verification_figures import Scores, png_drawing, svg_drawing, verification_drawings

COLUMNS = (
    ("accuracy_mean", "accuracy"),
    ("tmr_at_fmr_1e-2", "TMR at FMR 1 %"),
    ("tmr_at_fmr_1e-3", "TMR at FMR 0.1 %"),
    ("eer", "EER"),
    ("auc", "AUC"),
)


def write_verification_page(folder: Path, results: Mapping[str, Any], scores: Scores) -> None:
    """Write every curve as ``.svg`` and ``.png``, and ``index.html``.

    Args:
        folder: where to.
        results: the content of ``results.json``.
        scores: mated and non-mated scores by recogniser.
    """
    figures = []
    for stem, (caption, draw) in verification_drawings(scores).items():
        svg = svg_drawing(stem, caption, draw)
        (folder / f"{stem}.svg").write_text(svg, encoding="utf-8")
        (folder / f"{stem}.png").write_bytes(png_drawing(draw))
        figures.append((svg, caption))
    page = render_page("verification.html", results=results, rows=verification_rows(results), figures=figures)
    (folder / "index.html").write_text(page, encoding="utf-8")


def verification_rows(results: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str, str | None]]]]:
    """Return, for each recogniser, the column's title, the figure and its interval as text."""
    rows = []
    for name, values in results["recognizers"].items():
        cells = []
        for key, title in COLUMNS:
            ends = values.get(f"{key}_interval")
            interval = None if ends is None else f"{percent(ends[0], 2)} to {percent(ends[1], 2)}"
            cells.append((title, percent(values[key], 2), interval))
        rows.append((name, cells))
    return rows
