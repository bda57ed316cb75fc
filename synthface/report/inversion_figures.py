"""Pictures of an inversion: targets beside what came of them, how they came about, and how often they pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthface.report.contact_sheet import contact_sheet
from synthface.report.figures import BLUE, GREEN, ORANGE, PURPLE, figure_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Images = NDArray[np.uint8]
History = Mapping[str, Mapping[str, NDArray[np.float32]]]  # arm -> name of a term -> [groups, steps]
MOST_SHOWN = 64
FMRS = ("1e-2", "1e-3", "1e-4")
_COLUMNS = 8
_LABELS = {"images": "inverted", "control": "no prior"}
_TERMS = {
    "identity": ("identity", BLUE),
    "prior": ("batch-norm prior", ORANGE),
    "tv_l1": ("total variation", GREEN),
    "tv_norm": ("total variation (norm)", GREEN),
    "l2": ("image norm", PURPLE),
}
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
_LINES = (("images", "-"), ("control", "--"))
_FRAME_MILLISECONDS, _LAST_MILLISECONDS = 450, 2500


@dataclass(frozen=True)
class Pictures:
    """What is shown of an inversion.

    Attributes:
        sources: [n, H, W, 3] the pictures behind the first targets, or None.
        made: name of each arm to its images of these targets, [n, H, W, 3].
        progress: [steps, m, H, W, 3] images of the first targets along the way.
        progress_steps: at which steps.
        show_real_people: whether the targets are real people, so that images of them are not for everybody.
        beside_real_people: whether the collection that images are compared with shows real people.
    """

    sources: Images | None
    made: Mapping[str, Images]
    progress: Images
    progress_steps: Sequence[int]
    show_real_people: bool
    beside_real_people: bool = True


def inversion_sheet(pictures: Pictures, *, with_sources: bool = True) -> Image.Image:
    """Lay out up to 64 targets, eight across: each one's picture (where there is one) above its images."""
    rows_of = {_label(name): images for name, images in pictures.made.items()}
    if with_sources and pictures.sources is not None:
        rows_of = {"target": pictures.sources, **rows_of}
    n = min(MOST_SHOWN, len(pictures.made["images"]))
    rows, labels = [], []
    for start in range(0, n, _COLUMNS):
        for label, images in rows_of.items():
            rows.append(list(images[start : min(start + _COLUMNS, n)]))
            labels.append(label)
    return contact_sheet(rows, labels=labels)


def progress_sheet(pictures: Pictures, *, with_sources: bool = True) -> Image.Image:
    """Lay out the first targets at a few steps: a column a target, a row a step."""
    rows = [list(images) for images in pictures.progress]
    labels = [f"step {step:,}" for step in pictures.progress_steps]
    if with_sources and pictures.sources is not None:
        rows.append(list(pictures.sources[: len(rows[0])]))
        labels.append("target")
    return contact_sheet(rows, labels=labels)


def write_progress_animation(pictures: Pictures, path: Path) -> None:
    """Write the same as an animated GIF, four targets across."""
    frames = []
    for images in pictures.progress:
        sheet = contact_sheet([list(images[start : start + 4]) for start in range(0, len(images), 4)])
        frames.append(sheet.quantize(128, dither=Image.Dither.NONE))
    durations = [_FRAME_MILLISECONDS] * (len(frames) - 1) + [_LAST_MILLISECONDS]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, format="GIF")


def _label(arm: str) -> str:
    return _LABELS.get(arm, arm.replace("-", " "))


def terms_figure(history: History) -> str:
    """Draw each weighted term of the loss over the steps, mean over groups; the control dashed."""

    def draw(axes: "Axes") -> None:
        for arm, style in _LINES:
            for k, (name, values) in enumerate(history.get(arm, {}).items()):
                if name == "cosine" or not values.any():
                    continue
                label, colour = _TERMS.get(name, (name.replace("_", " "), _COLOURS[k % len(_COLOURS)]))
                steps = np.arange(1, values.shape[1] + 1)
                shown = label if arm == "images" else None
                axes.plot(steps, values.mean(axis=0), style, color=colour, linewidth=1.2, label=shown)
        axes.set(xlabel="step", ylabel="weighted term", yscale="log")
        axes.legend()

    return figure_svg("terms", "terms of the loss over the steps", draw)


def cosine_figure(history: History) -> str:
    """Draw the cosine of the views with their targets over the steps, mean over groups."""

    def draw(axes: "Axes") -> None:
        for arm, style in _LINES:
            if arm in history:
                values = history[arm]["cosine"].mean(axis=0)
                label = "with prior" if arm == "images" else "control without prior"
                axes.plot(np.arange(1, len(values) + 1), values, style, color=BLUE, linewidth=1.2, label=label)
        axes.set(xlabel="step", ylabel="cosine", ylim=(None, 1.02))
        axes.legend(loc="lower right")

    return figure_svg("cosine", "cosine to the target over the steps", draw)


def success_figure(results: Mapping[str, Any]) -> str | None:
    """Draw how often the images pass at each false match rate, beside real photos; None where nothing is known."""
    views = {f"{results['recognizer']} (inverted)": results["same_model"], **results["judges"]}
    tops = _recognizers(results["ceiling"])
    if not any(scores[f"sar_type2_at_fmr_{FMRS[0]}"] is not None for scores in views.values()):
        return None

    def draw(axes: "Axes") -> None:
        for colour, (name, scores), top in zip(
            _COLOURS, views.items(), [*tops, *[None] * len(views)][: len(views)], strict=False
        ):
            lines = (("type II", "-", scores), ("real photos", ":", top))
            for label, style, figures in lines:
                if figures is None:
                    continue
                points = [(float(fmr), figures[f"sar_type2_at_fmr_{fmr}"]) for fmr in FMRS]
                known = [(x, 100 * y) for x, y in points if y is not None]
                axes.plot(
                    *zip(*known, strict=True), style, color=colour, marker="o", markersize=3, label=f"{name}, {label}"
                )
        axes.set(xscale="log", xlabel="false match rate", ylabel="accepted (%)", ylim=(-3, 103))
        axes.invert_xaxis()
        axes.legend(fontsize=7)

    return figure_svg("success", "share of images accepted as another photo of their person, by false match rate", draw)


def protection_figure(results: Mapping[str, Any]) -> str | None:
    """Draw how often images made from protected templates pass, by the protection's strength."""
    protection = results["protection"]
    if protection is None:
        return None
    stages = [("none", results), *((_strength(tested), tested) for tested in protection["tested"])]
    names = ["same_model", *results["judges"]]

    def draw(axes: "Axes") -> None:
        for colour, name in zip(_COLOURS, names, strict=False):
            views = [stage["same_model"] if name == "same_model" else stage["judges"][name] for _, stage in stages]
            for kind, style in (("type1", "--"), ("type2", "-")):
                values = [scores[f"sar_{kind}_at_fmr_1e-3"] for scores in views]
                if None in values:
                    continue
                shown = results["recognizer"] if name == "same_model" else name
                label = f"{shown}, type {'I' if kind == 'type1' else 'II'}"
                axes.plot(range(len(stages)), [100 * value for value in values], style, color=colour, marker="o",
                          markersize=3, label=label)  # fmt: skip
        axes.set(xlabel=f"{protection['name']}, strength", ylabel="accepted at FMR 0.1 % (%)", ylim=(-3, 103))
        axes.set_xticks(range(len(stages)), [label for label, _ in stages])
        axes.legend(fontsize=7)

    return figure_svg("protection", "share of images accepted, by strength of the protection", draw)


def _strength(tested: Mapping[str, Any]) -> str:
    return "yes" if tested["strength"] is None else f"{tested['strength']:g}"


def _recognizers(view: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    return [] if view is None else [view["same_model"], *view["judges"].values()]
