"""ROC and DET curves of a verification benchmark, and its score distributions, as SVG and PNG."""

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from synthface.metrics.verification import roc_curve, tmr_at_fmr
from synthface.report.figures import BLUE, GREEN, ORANGE, PURPLE, figure_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Scores = Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]  # recogniser -> mated, non-mated scores
Draw = Callable[["Axes"], None]
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
_STYLES = ("-", "--", ":", "-.")  # past four recognisers colours come back, in another dash
_DET_TICKS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
_WIDE_DET_TICKS = (0.0001, 0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95)
_SIZE = (5.0, 4.2)


def verification_drawings(scores: Scores) -> dict[str, tuple[str, Draw]]:
    """Return what there is to draw: by file stem, a caption and a function that draws on given axes."""
    drawings: dict[str, tuple[str, Draw]] = {
        "roc": ("ROC: true match rate over false match rate.", lambda axes: draw_roc(axes, scores)),
        "det": (
            "DET: both error rates on normal-deviate axes; the dotted line is FMR = FNMR.",
            lambda axes: draw_det(axes, scores),
        ),
    }
    for name, (mated, non_mated) in scores.items():
        drawings[f"scores-{name}"] = (f"Scores under {name}.", _scores_drawing(mated, non_mated))
    return drawings


def svg_drawing(name: str, caption: str, draw: Draw) -> str:
    """Return a drawing as an ``<svg>`` element that follows the page's colours."""
    return figure_svg(name, caption, draw, size=_SIZE)


def png_drawing(draw: Draw) -> bytes:
    """Return a drawing as PNG, 144 dots an inch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    draw(figure.subplots())
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=144, metadata={"Software": None})
    return stream.getvalue()


def draw_roc(axes: "Axes", scores: Scores) -> None:
    """Draw TMR over FMR; the logarithmic FMR axis ends at one pair, the least that the pairs can resolve."""
    left, bottom = 1.0, 1.0
    for k, (name, (mated, non_mated)) in enumerate(scores.items()):
        curve = roc_curve(mated, non_mated)
        axes.step(curve.fmr, curve.tmr, _style(k), where="post", color=_COLOURS[k % 4], label=name)
        left = min(left, 1 / len(non_mated))
        bottom = min(bottom, tmr_at_fmr(mated, non_mated, 1 / len(non_mated)))
    axes.set_xscale("log")
    axes.set_xlim(left, 1)
    axes.set_ylim(max(0.0, bottom - 0.05 * (1 - bottom)), 1 + 0.02 * (1 - bottom) + 1e-6)
    axes.set_xlabel("false match rate (FMR)")
    axes.set_ylabel("true match rate (TMR)")
    axes.legend(loc="lower right")


def draw_det(axes: "Axes", scores: Scores, *, limits: tuple[float, float] | None = None) -> None:
    """Draw FNMR over FMR in normal deviates, where normal score distributions give straight lines.

    Args:
        axes: to draw on.
        scores: mated and non-mated scores by name of the curve.
        limits: of both axes; None goes from what the pairs can resolve to a half.

    Source: Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.
    """
    smallest = 0.25
    for k, (name, (mated, non_mated)) in enumerate(scores.items()):
        curve = roc_curve(mated, non_mated)
        # Rates of 0 and 1 have no finite deviate; half a pair is the closest that can be drawn.
        fmr = np.clip(curve.fmr, 0.5 / len(non_mated), 1 - 0.5 / len(non_mated))
        fnmr = np.clip(1 - curve.tmr, 0.5 / len(mated), 1 - 0.5 / len(mated))
        axes.plot(ndtri(fmr), ndtri(fnmr), _style(k), color=_COLOURS[k % 4], label=name)
        smallest = min(smallest, 0.5 / len(mated), 0.5 / len(non_mated))
    smallest, largest = limits or (smallest, 0.5)
    candidates = _WIDE_DET_TICKS if limits else _DET_TICKS
    low, high = float(ndtri(smallest)), float(ndtri(largest))
    axes.plot([low, high], [low, high], color="0.6", linewidth=0.8, linestyle=":")
    ticks = [tick for tick in candidates if smallest <= tick < largest]
    for axis, set_limits in ((axes.xaxis, axes.set_xlim), (axes.yaxis, axes.set_ylim)):
        set_limits(low, high)
        axis.set_ticks([float(ndtri(tick)) for tick in ticks], labels=[f"{tick * 100:g} %" for tick in ticks])
    axes.tick_params(axis="x", labelrotation=45)
    axes.set_xlabel("false match rate (FMR)")
    axes.set_ylabel("false non-match rate (FNMR)")
    axes.legend(loc="upper right")


def _scores_drawing(mated: NDArray[np.float64], non_mated: NDArray[np.float64]) -> Draw:
    def draw(axes: "Axes") -> None:
        lowest = min(float(mated.min()), float(non_mated.min()), 0.0)
        edges = [float(edge) for edge in np.linspace(lowest, 1.0, 81)]
        for values, label, colour in ((non_mated, "non-mated", ORANGE), (mated, "mated", BLUE)):
            axes.hist(values, edges, density=True, histtype="stepfilled", alpha=0.4, color=colour, label=label)
        axes.set_xlabel("cosine similarity")
        axes.set_ylabel("density")
        axes.legend(loc="upper left")

    return draw


def _style(k: int) -> str:
    return _STYLES[k // 4 % len(_STYLES)]
