"""The page of a measured set, and the short table that the command prints."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from synthface.report.measure_figures import ROLES, Distributions, measure_drawings
from synthface.report.page import number, percent, render_page
from synthface.report.text_table import aligned
from synthface.report.verification_figures import png_drawing, svg_drawing

Cell = tuple[str, str, str | None]  # column title, figure, interval
Row = tuple[str, list[Cell]]
Columns = Sequence[tuple[str, str, Callable[[float | None], str]]]


def _plain(value: float | None) -> str:
    return number(value)


def _share(value: float | None) -> str:
    return percent(value)


def _small_share(value: float | None) -> str:
    return percent(value, 2)


SEPARABILITY: Columns = (
    ("eer", "EER", _share),
    ("fmr100", "FMR100", _share),
    ("fmr1000", "FMR1000", _share),
    ("auc", "AUC", _plain),
    ("fisher_ratio", "Fisher ratio", _plain),
)
PEOPLE: Columns = (
    ("uniqueness", "uniqueness", _plain),
    ("consistency", "consistency", _plain),
    ("consistency_of_others", "consistency, image left out", _plain),
    ("merged_pairs", "pairs of identities that match", _small_share),
    ("identities", "effective identities", _plain),
    ("log10_capacity", "capacity, log 10", _plain),
)
DISTANCES: Columns = (
    ("frechet", "Frechet", _plain),
    ("kernel_distance", "kernel distance", _plain),
    ("precision", "precision", _plain),
    ("recall", "recall", _plain),
    ("density", "density", _plain),
    ("coverage", "coverage", _plain),
)
IMAGES: Columns = (("sharpness", "sharpness", _plain), ("contrast", "contrast", _plain))
STYLE: Columns = (("diversity", "diversity", _plain), ("style_variance", "variance of style", _plain))
_CONTROL = {"measured": ROLES["measured"], "control": "other real people"}
_PRINTED = (*SEPARABILITY[:3], PEOPLE[0], PEOPLE[1], PEOPLE[4])


def write_measure_page(folder: Path, results: Mapping[str, Any], distributions: Distributions) -> None:
    """Write every plot as ``.svg`` and ``.png``, and ``index.html``.

    Args:
        folder: where to.
        results: the content of ``measure.json``.
        distributions: what the plots show.
    """
    figures = []
    for stem, (caption, draw) in measure_drawings(distributions).items():
        svg = svg_drawing(stem, caption, draw)
        (folder / f"{stem}.svg").write_text(svg, encoding="utf-8")
        (folder / f"{stem}.png").write_bytes(png_drawing(draw))
        figures.append((svg, caption))
    tables = {
        "separability": recognizer_rows(results, SEPARABILITY),
        "people": recognizer_rows(results, PEOPLE),
        "distances": distance_rows(results),
        "images": image_rows(results),
        "style": [
            (ROLES[role], [_cell(results["images"][role], *column) for column in STYLE]) for role in results["sets"]
        ],
    }
    page = render_page("measure.html", results=results, tables=tables, roles=ROLES, figures=figures)
    (folder / "index.html").write_text(page, encoding="utf-8")


def recognizer_rows(results: Mapping[str, Any], columns: Columns) -> list[Row]:
    """Return a row for every recogniser and set, without the columns that are empty throughout."""
    shown = [
        column
        for column in columns
        if any(column[0] in figures[role] for figures in results["recognizers"].values() for role in results["sets"])
    ]
    return [
        (f"{ROLES[role]}, {name}", [_cell(figures[role], *column) for column in shown])
        for name, figures in results["recognizers"].items()
        for role in results["sets"]
    ]


def distance_rows(results: Mapping[str, Any]) -> list[Row]:
    """Return the distances of the set and of other real people; nothing without a set beside."""
    return [
        (f"{title}, {name}", [_cell(figures["distances"][side], *column) for column in DISTANCES])
        for name, figures in results["recognizers"].items()
        if "distances" in figures
        for side, title in _CONTROL.items()
    ]


def image_rows(results: Mapping[str, Any]) -> list[Row]:
    """Return the mean and the middle half of what single images have."""
    rows = []
    for role in results["sets"]:
        of_images = [(title, results["images"][role][key]) for key, title, _ in IMAGES]
        norms = [(f"norm, {name}", f[role]["norm"]) for name, f in results["recognizers"].items() if "norm" in f[role]]
        cells: list[Cell] = []
        for title, values in of_images + norms:
            low, high = values["quantiles"]["0.25"], values["quantiles"]["0.75"]
            cells.append((title, number(values["mean"]["value"]), f"{number(low)} to {number(high)}"))
        rows.append((ROLES[role], cells))
    return rows


def text_table(results: Mapping[str, Any]) -> str:
    """Return the figures that matter most, a line for every recogniser and set."""
    rows = [["set", "recogniser", *(title for _, title, _ in _PRINTED), "diversity"]]
    for name, figures in results["recognizers"].items():
        for role in results["sets"]:
            cells = [_cell(figures[role], *column)[1] for column in _PRINTED]
            diversity = _cell(results["images"][role], *STYLE[0])[1]
            rows.append([ROLES[role], name, *cells, diversity])
    return aligned(rows)


def _cell(figures: Mapping[str, Any], key: str, title: str, write: Callable[[float | None], str]) -> Cell:
    figure = figures.get(key) or {"value": None, "interval": None}
    ends = figure["interval"]
    return title, write(figure["value"]), None if ends is None else f"{write(ends[0])} to {write(ends[1])}"
