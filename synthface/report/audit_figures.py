"""The figures of an audit: what each recogniser measured, and the power curve."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synthface.report.figures import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    cmc_figure,
    density_figure,
    figure_svg,
    log_roc_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PUBLIC_BIN = 0.05  # of the score axis; wide enough to keep single scores private
_PRIVATE_BIN = 0.01
_QUANTILES = 200
_DET_TICKS = (0.001, 0.01, 0.05, 0.2, 0.4)

Scores = NDArray[np.float64]
Plot = dict[str, str]  # caption and svg


def recognizer_plots(name: str, evidence: Any, *, public: bool) -> list[Plot]:
    """Draw what there is to draw for one recogniser; the public ones only in wide bins.

    Args:
        name: unique on the page.
        evidence: arrays with the attributes of ``synthface.privacy.evidence.Evidence``.
        public: leave out curves from which single scores could be read.
    """
    width = PUBLIC_BIN if public else _PRIVATE_BIN
    plots: list[Plot] = []
    _add_scores(plots, name, evidence, width)
    if evidence.ranks is not None:
        _add_linkage(plots, name, evidence, width)
    if public:
        return plots
    if evidence.mated is not None and len(evidence.mated) and len(evidence.non_mated):
        caption = (
            "DET of this recogniser on real hold-out people at the resolution of the release: both error rates on "
            "normal-deviate axes; the dotted line is where they are equal (gate V1)."
        )
        _add(plots, caption, det_figure(f"{name}-det", caption, evidence.mated, evidence.non_mated))
    if evidence.person_holdout is not None and evidence.person_train is not None:
        caption = "Telling training people from hold-out people by that score, on logarithmic axes (gate A5)."
        _add(plots, caption, log_roc_figure(f"{name}-roc", caption, evidence.person_train, evidence.person_holdout))
        caption = (
            "The same scores, quantile against quantile. Points on the line: training people are as near to the set "
            "as people who were never used. Above it, at the right end: some are nearer."
        )
        _add(plots, caption, quantile_figure(f"{name}-qq", caption, evidence.person_holdout, evidence.person_train))
    return plots


def _add(plots: list[Plot], caption: str, svg: str) -> None:
    plots.append({"caption": caption, "svg": svg})


def _add_scores(plots: list[Plot], name: str, evidence: Any, width: float) -> None:
    images: dict[str, tuple[Any, str]] = {
        "real: two people": (evidence.non_mated, ORANGE),
        "real: one person": (evidence.mated, GREEN),
        "synthetic to nearest hold-out photo": (evidence.nearest_holdout, PURPLE),
        "synthetic to nearest training photo": (evidence.nearest_train, BLUE),
    }
    images = {label: series for label, series in images.items() if series[0] is not None and len(series[0])}
    if images:
        caption = (
            "Where the nearest real photo of each synthetic image lies between chance and the same person. "
            "The training set is usually the larger one, so its nearest photos lie a little higher by chance."
        )
        svg = density_figure(f"{name}-scores", caption, images, x_label="cosine similarity", bin_width=width)
        _add(plots, caption, svg)
    if evidence.person_holdout is not None and evidence.person_train is not None:
        people = {
            "hold-out people": (evidence.person_holdout, PURPLE),
            "training people": (evidence.person_train, BLUE),
        }
        caption = (
            "How near each person comes to the set (mean of the largest scores). Without a leak the two curves agree; "
            "gates A2 and A5 compare them."
        )
        svg = density_figure(f"{name}-people", caption, people, x_label="a person's score", bin_width=width)
        _add(plots, caption, svg)
    if evidence.other_train is not None and evidence.other_holdout is not None:
        people = {
            "hold-out people": (evidence.other_holdout, PURPLE),
            "training people, by other photos": (evidence.other_train, BLUE),
        }
        caption = (
            "The same by photos of the training people that were not trained on, as many of each person on both "
            "sides: does the set remember the person, or only the photo?"
        )
        svg = density_figure(f"{name}-other", caption, people, x_label="a person's score", bin_width=width)
        _add(plots, caption, svg)


def _add_linkage(plots: list[Plot], name: str, evidence: Any, width: float) -> None:
    caption = "Each class against the training person of its own label and against all others (gate A4)."
    series = {"other labels": (evidence.unlinked, ORANGE), "same label": (evidence.linked, BLUE)}
    svg = density_figure(f"{name}-linkage", caption, series, x_label="cosine similarity", bin_width=max(width, 0.02))
    _add(plots, caption, svg)
    caption = "How often the training person of a class's label is among its nearest k (cumulative match curve)."
    n_people = len(evidence.person_train) if evidence.person_train is not None else int(evidence.ranks.max())
    _add(plots, caption, cmc_figure(f"{name}-cmc", caption, evidence.ranks, max(2, n_people)))


def det_figure(name: str, alt: str, mated: Scores, non_mated: Scores) -> str:
    """Draw FNMR over FMR in normal deviates, as far as the smallest rate that is labelled."""
    from scipy.special import ndtri

    from synthface.metrics.verification import roc_curve

    curve = roc_curve(mated, non_mated)
    low, high = _DET_TICKS[0] / 2, 0.5
    deviates = [ndtri(np.clip(rate, low, 1 - low)) for rate in (curve.fmr, 1 - curve.tmr)]

    def draw(axes: "Axes") -> None:
        ends = [float(ndtri(low)), float(ndtri(high))]
        axes.plot(*deviates, color=BLUE)
        axes.plot(ends, ends, color="0.6", linewidth=0.8, linestyle=":")
        axes.set(xlim=ends, ylim=ends, xlabel="false match rate", ylabel="false non-match rate")
        labels = [f"{100 * tick:g} %" for tick in _DET_TICKS]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks([float(ndtri(tick)) for tick in _DET_TICKS], labels=labels)

    return figure_svg(name, alt, draw)


def quantile_figure(name: str, alt: str, control: Scores, values: Scores) -> str:
    """Draw the quantiles of ``values`` over those of ``control``, the upper tail in more detail."""
    tail = np.geomspace(0.5 / min(len(control), len(values)), 0.5, _QUANTILES)
    shares = np.concatenate([tail, 1 - tail])
    across, up = np.quantile(control, shares), np.quantile(values, shares)

    def draw(axes: "Axes") -> None:
        ends = [float(min(across.min(), up.min())), float(max(across.max(), up.max()))]
        axes.plot(ends, ends, color=ORANGE, linestyle="--", label="no difference")
        axes.plot(across, up, "o", color=BLUE, markersize=2.5, label="quantiles")
        axes.set(xlabel="hold-out people", ylabel="training people")
        axes.legend(loc="upper left")

    return figure_svg(name, alt, draw)


def power_plot(power: Sequence[Mapping[str, Any]]) -> Plot | None:
    """Draw the share of plants that was found over how much of the image or class they are.

    Args:
        power: records with ``unit``, ``strength``, ``recall`` and ``interval``, as audit.json has them.
    """
    shown = [row for row in power if row["curve"]]
    if not shown:
        return None
    caption = (
        "Power: the share of planted leaks that was found, over how much of each was leaked. Images: training photos "
        "blended with another face. Classes: other photos of a training person among the class's own images. Bars are "
        "Clopper-Pearson intervals."
    )

    def draw(axes: "Axes") -> None:
        for unit, colour, shift in (("images", BLUE, -0.004), ("classes", GREEN, 0.004)):  # side by side, not hidden
            rows = sorted((row for row in shown if row["unit"] == unit), key=lambda row: row["strength"])
            if not rows:
                continue
            strength = np.array([row["strength"] for row in rows]) + shift
            recall = np.array([row["recall"] for row in rows])
            bars = np.abs(np.array([row["interval"] for row in rows]).T - recall)
            axes.errorbar(strength, recall, bars, color=colour, marker="o", markersize=4, capsize=3, label=unit)
        axes.set(xlabel="leaked share of the image or class", ylabel="share found", ylim=(-0.03, 1.03), xlim=(0, 1.03))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.legend(loc="lower right")

    return {"caption": caption, "svg": figure_svg("power", caption, draw)}
