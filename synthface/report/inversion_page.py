"""The pages of an inversion: scores with intervals, pictures, curves, and what they do not show."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synthface.report.inversion_figures import (
    FMRS,
    MOST_SHOWN,
    History,
    Pictures,
    cosine_figure,
    inversion_sheet,
    progress_sheet,
    protection_figure,
    success_figure,
    terms_figure,
    write_progress_animation,
)
from synthface.report.page import image_uri, percent, render_page

HEADINGS = ("images", "recogniser", "cosine", "type I", "type II", "rank 1", "strangers")
_DASH = percent(None)
RATE_HEADINGS = ("recogniser", "FMR", "threshold", "type I", "type II", "real photos")
ACCURACY_HEADINGS = ("recogniser", "one side", "both sides", "one side, real photos", "both sides, real photos")
APART_HEADINGS = (
    "recogniser",
    "threshold",
    "pairs taken for one person",
    "nearest pair",
    "images like a real face",
    "nearest",
)
_KNOW_NOTHING = ("of others", "mean face", "noise")
_FMR = "1e-3"  # where the literature on template inversion quotes its success rates


def write_inversion_pages(folder: Path, results: Mapping[str, Any], pictures: Pictures, history: History) -> None:
    """Write the contact sheet, ``progress.png`` and ``.gif``, the curves, ``index.html`` and ``report_public.html``.

    The public page shows no photo, of real people no image made from their embeddings either, and no images of people
    who do not exist where a recogniser takes one of them for a real face.

    Args:
        folder: where to.
        results: the content of ``results.json``.
        pictures: what is shown.
        history: arm to name of a term to [groups, steps].
    """
    inversion_sheet(pictures).save(folder / "contact_sheet.png")
    progress_sheet(pictures).save(folder / "progress.png")
    write_progress_animation(pictures, folder / "progress.gif")
    drawn = {"terms": terms_figure(history), "cosine": cosine_figure(history)}
    drawn |= {"success": success_figure(results) or "", "protection": protection_figure(results) or ""}
    for name, svg in drawn.items():
        if svg:
            (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    rows = score_rows(results)
    resembling = pictures.beside_real_people and any(
        found["images_matching_real"] for found in (results["separation"] or {}).values()
    )
    for file, public in (("index.html", False), ("report_public.html", True)):
        shown = not (public and (pictures.show_real_people or resembling))
        page = render_page(
            "inversion.html",
            results=results,
            public=public,
            lead=_lead(results),
            headings=HEADINGS,
            rows=[row for row in rows if row[0] not in _KNOW_NOTHING],
            floors=[row for row in rows if row[0] in _KNOW_NOTHING],
            accuracy_headings=ACCURACY_HEADINGS,
            accuracies=accuracy_rows(results),
            apart_headings=APART_HEADINGS,
            apart=apart_rows(results),
            rate_headings=RATE_HEADINGS,
            rates=rate_rows(results),
            sheet=image_uri(inversion_sheet(pictures, with_sources=not public), "png") if shown else None,
            progress=image_uri(progress_sheet(pictures, with_sources=not public)) if shown else None,
            has_photos=pictures.sources is not None and not public,
            of_real_people=pictures.show_real_people,
            resembling=resembling,
            n_shown=MOST_SHOWN,
            detector=_detector(results),
            realigned=realigned_note(results),
            figures=drawn,
        )
        (folder / file).write_text(page, encoding="utf-8")


def score_rows(results: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row of text for each kind of images under each recogniser, under ``HEADINGS``."""
    rows = []
    for label, view in _views(results):
        for name, scores in _named(results, view):
            rows.append(
                (
                    label,
                    name,
                    _mean(scores, "cosine_mean"),
                    _rate(scores, f"sar_type1_at_fmr_{_FMR}"),
                    _rate(scores, f"sar_type2_at_fmr_{_FMR}"),
                    _rate(scores, "rank1"),
                    percent(scores[f"strangers_at_fmr_{_FMR}"], 2),
                )
            )
    return [row for row in rows if set(row[2:]) != {_DASH}]


def realigned_note(results: Mapping[str, Any]) -> str | None:
    """Return a sentence on the images that a detector looked at before they were scored; None where none did."""
    realigned = results.get("realigned")
    if realigned is None:
        return None
    found = realigned["faces_found"]
    return (
        f"Re-aligned: the faces that a detector finds, in {percent(found['rate'])} of {found['n']:,} images, aligned "
        "anew; images without count as failures, with a cosine of 0."
    )


def rate_rows(results: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row of text for each recogniser and false match rate, under ``RATE_HEADINGS``."""
    rows: list[tuple[str, ...]] = []
    ceiling = dict(_named(results, results["ceiling"])) if results["ceiling"] else {}
    for name, scores in _named(results, results):
        for fmr in FMRS:
            threshold = results["thresholds"][name][fmr]
            if threshold is None:
                continue
            top = ceiling.get(name)
            rows.append(
                (
                    name,
                    percent(float(fmr), 2),
                    f"{threshold['value']:.3f}",
                    _rate(scores, f"sar_type1_at_fmr_{fmr}"),
                    _rate(scores, f"sar_type2_at_fmr_{fmr}"),
                    _rate(top, f"sar_type2_at_fmr_{fmr}") if top else _DASH,
                )
            )
    return rows


def accuracy_rows(results: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row of text for each recogniser, under ``ACCURACY_HEADINGS``; none where nothing was measured."""
    if results["ceiling"] is None:
        return []
    ceiling = dict(_named(results, results["ceiling"]))
    sides = ("accuracy_one_side", "accuracy_both_sides")
    rows: list[tuple[str, ...]] = [
        (name, *(_rate(part, side) for part in (scores, ceiling[name]) for side in sides))
        for name, scores in _named(results, results)
    ]
    return [row for row in rows if set(row[1:]) != {_DASH}]


def apart_rows(results: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row of text for each recogniser, under ``APART_HEADINGS``."""
    return [
        (
            name + (" (inverted)" if name == results["recognizer"] else " (judge)"),
            f"{found['threshold']:.3f}",
            f"{found['matching_pairs']:,} of {found['n_pairs']:,}",
            _DASH if found["highest_pair"] is None else f"{found['highest_pair']:.3f}",
            f"{found['images_matching_real']:,} of {results['n_targets']:,}",
            f"{found['highest_real']:.3f}",
        )
        for name, found in (results["separation"] or {}).items()
    ]


def _views(results: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    floor = results["floor"]
    tested = results["protection"]["tested"] if results["protection"] else []
    views = [("inverted", results), ("after JPEG 75", results["jpeg75"])]
    views += [("re-aligned", results.get("realigned")), ("no prior", results["control"])]  # older results lack it
    views += [(part["folder"].replace("-", " "), part) for part in tested]
    views += [("real photos", results["ceiling"]), ("of others", floor["shuffled_targets"])]
    views += [("mean face", floor["mean_face"]), ("noise", floor["noise"])]
    for label, view in views:
        if view is not None:
            yield label, view


def _named(results: Mapping[str, Any], view: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(results["recognizer"], view["same_model"]), *view["judges"].items()]


def _lead(results: Mapping[str, Any]) -> str:
    if results["separation"]:
        name, found = list(results["separation"].items())[-1]  # a judge, if there is one
        return (
            f"{results['n_people']:,} people who do not exist: of {found['n_pairs']:,} pairs of images of different "
            f"ones {name} takes {found['matching_pairs']:,} for one person, and {found['images_matching_real']:,} of "
            f"the {results['n_targets']:,} images for a real face."
        )
    if not results["judges"]:
        return "Without a judge, this shows that the optimisation worked and nothing about the people."
    name, scores = next(iter(results["judges"].items()))
    second = scores[f"sar_type2_at_fmr_{_FMR}"]
    if second is None:
        return (
            f"Under {name}, which took no part, images and targets have a mean cosine of {scores['cosine_mean']:.2f}."
        )
    top = results["ceiling"]["judges"][name][f"sar_type2_at_fmr_{_FMR}"]
    return (
        f"{name}, which took no part, accepts the images as another photo of the person in {percent(second)} of the "
        f"comparisons; the photo behind the embedding reaches {percent(top)}. Strangers: 0.1 %."
    )


def _detector(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    labels = {"inverted": "inverted images", "control": "without the prior", "photos": "photos"}
    return [
        (labels[name], f"{percent(found['rate'])} of {found['n']:,}")
        for name, found in results["detector"].items()
        if found is not None
    ]


def _mean(scores: Mapping[str, Any], name: str) -> str:
    if scores.get(name) is None:
        return _DASH
    low, high = scores["intervals"][name]
    return f"{scores[name]:.3f} ({low:.3f} to {high:.3f})"


def _rate(scores: Mapping[str, Any], name: str) -> str:
    if scores.get(name) is None:
        return _DASH
    low, high = scores["intervals"][name]
    return f"{percent(scores[name])} ({100 * low:.1f} to {100 * high:.1f})"
