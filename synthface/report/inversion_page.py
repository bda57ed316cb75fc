"""The page of an inversion: scores with intervals, pictures, curves, and what they do not show."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.report.inversion_figures import MOST_SHOWN, History, cosine_figure, inversion_sheet, terms_figure
from synthface.report.page import image_uri, percent, render_page

HEADINGS = ("recogniser", "cosine", "to others", "type I", "type II", "real picture", "others")
_DASH = percent(None)


def write_inversion_page(
    folder: Path, results: Mapping[str, Any], pictures: Mapping[str, NDArray[np.uint8]], history: History
) -> None:
    """Write ``contact_sheet.png``, ``terms.svg``, ``cosine.svg`` and ``index.html``.

    Args:
        folder: where to.
        results: the content of ``results.json``.
        pictures: ``images``, and where there are any ``sources`` and ``control``, each [N, H, W, 3] uint8.
        history: for ``images`` and perhaps ``control``, name of each term to [groups, steps].
    """
    sheet = inversion_sheet(pictures)
    sheet.save(folder / "contact_sheet.png")
    drawn = {"terms": terms_figure(history), "cosine": cosine_figure(history)}
    for name, svg in drawn.items():
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    page = render_page(
        "inversion.html",
        results=results,
        lead=_lead(results),
        headings=HEADINGS,
        rows=score_rows(results),
        thresholds=_threshold_counts(results),
        sheet=image_uri(sheet, "png"),
        has_pictures="sources" in pictures,
        n_shown=MOST_SHOWN,
        terms=drawn["terms"],
        cosines=drawn["cosine"],
    )
    (folder / "index.html").write_text(page, encoding="utf-8")


def score_rows(results: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row of text for each recogniser, and again for the control, under ``HEADINGS``."""
    rows = []
    for scored, note in ((results, ""), (results["control"], ", no prior")):
        if scored is not None:
            rows.append(_row(f"{results['recognizer']} (inverted{note})", scored["same_model"]))
            rows.extend(_row(f"{name} (judge{note})", values) for name, values in scored["judges"].items())
    return rows


def _lead(results: Mapping[str, Any]) -> str:
    if not results["judges"]:
        return "Without a judge, this shows that the optimisation worked and nothing about the people."
    name, values = next(iter(results["judges"].items()))
    success = values["attack_success"]
    if success is None:
        return (
            f"Under {name}, which took no part, images and targets have a mean cosine of {values['cosine_mean']:.2f}."
        )
    share, fmr = percent(success["type_1"]["rate"]), percent(success["fmr"])
    return (
        f"At FMR {fmr}, {name}, which took no part, accepts {share} of the images as the picture behind their target."
    )


def _row(name: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = values["cosine_interval"]
    success = values["attack_success"] or dict.fromkeys(("type_1", "type_2", "real_tmr", "floor"))
    return (
        name,
        f"{values['cosine_mean']:.3f} ({low:.3f} to {high:.3f})",
        _DASH if values["floor_mean"] is None else f"{values['floor_mean']:+.3f}",
        *(_rate(success[kind]) for kind in ("type_1", "type_2", "real_tmr")),
        percent(success["floor"], 2),
    )


def _rate(rate: Mapping[str, Any] | None) -> str:
    if rate is None:
        return _DASH
    low, high = rate["interval"]
    return f"{percent(rate['rate'])} ({100 * low:.1f} to {100 * high:.1f})"


def _threshold_counts(results: Mapping[str, Any]) -> dict[str, int]:
    scored = {results["recognizer"]: results["same_model"], **results["judges"]}
    return {
        name: values["attack_success"]["n_non_mated"] for name, values in scored.items() if values["attack_success"]
    }
