"""Small matplotlib figures as inline SVG: equal data give equal bytes, and the text follows the page's colours."""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

Scores = NDArray[np.float64]

# told apart by colour-blind readers, and legible on light and dark paper
BLUE, ORANGE, GREEN, PURPLE = "#3f8fd2", "#d9692a", "#2a9d78", "#b56fa8"
_INK = "#010203"  # becomes the page's text colour
_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "legend.fontsize": 8,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
}


def figure_svg(name: str, alt: str, draw: Callable[["Axes"], None], *, size: tuple[float, float] = (4.6, 3.0)) -> str:
    """Draw one pair of axes and return an ``<svg>`` element that scales with the page.

    Args:
        name: unique on its page; element ids are derived from it.
        alt: what the figure shows, for those who cannot see it.
        draw: draws on the axes.
        size: width and height in inches.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: Any = {**_SETTINGS, "svg.hashsalt": name}
    with mpl.rc_context(settings):
        figure = Figure(figsize=size)
        figure.subplots_adjust(left=0.15, right=0.98, bottom=0.16, top=0.84)  # a layout engine draws everything twice
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        draw(axes)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _inline(stream.getvalue(), name, alt)


def _inline(svg: str, name: str, alt: str) -> str:
    from markupsafe import escape

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px system-ui, sans-serif", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", svg)
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # ids such as figure_1 or axes_1 come back in every figure
    svg = re.sub(r'\bid="([^"]*)"', lambda match: f'id="{name}-{match[1]}"', svg)
    svg = re.sub(r'(url\(|href=")#', lambda match: f"{match[1]}#{name}-", svg)
    return svg.replace(_INK, "currentColor").strip()


def density_figure(
    name: str, alt: str, series: dict[str, tuple[Scores, str]], *, x_label: str, bin_width: float = 0.01
) -> str:
    """Draw distributions as stepped densities over common bins.

    Args:
        name: unique on its page.
        alt: what the figure shows.
        series: values and colour by label; the first is drawn at the back.
        x_label: of the values.
        bin_width: of the bins; wide ones keep single values private.
    """
    values = np.concatenate([part for part, _ in series.values()])
    first, last = np.floor(values.min() / bin_width), np.ceil(values.max() / bin_width) + 1
    edges = [float(edge) for edge in np.arange(first, last + 1) * bin_width]

    def draw(axes: "Axes") -> None:
        for label, (part, colour) in series.items():
            axes.hist(part, edges, density=True, histtype="stepfilled", alpha=0.25, color=colour)
            axes.hist(part, edges, density=True, histtype="step", color=colour, linewidth=1.2)
            axes.plot([], [], color=colour, label=label)
        axes.set(xlabel=x_label, yticks=[])
        axes.spines.left.set_visible(False)
        _legend_above(axes)

    return figure_svg(name, alt, draw)


def cmc_figure(name: str, alt: str, ranks: NDArray[np.int64], n_people: int) -> str:
    """Draw the cumulative match curve: the share of classes whose right person is among the k nearest, and chance."""

    def draw(axes: "Axes") -> None:
        k = np.unique(np.geomspace(1, n_people, 60).round().astype(int))
        share = np.searchsorted(np.sort(ranks), k, side="right") / len(ranks)
        axes.plot(k, share, color=BLUE, label="right person among the k nearest")
        axes.plot(k, k / n_people, color=ORANGE, linestyle="--", label="chance")
        axes.set(xscale="log", xlabel="k (of all training people)", ylabel="share of classes", ylim=(-0.02, 1.02))
        _plain_ticks(axes.xaxis)
        _legend_above(axes)

    return figure_svg(name, alt, draw)


def log_roc_figure(name: str, alt: str, positive: Scores, negative: Scores) -> str:
    """Draw a ROC curve on two logarithmic axes, where attacks that work on few people can be seen."""
    from synthface.metrics.verification import roc_curve

    curve = roc_curve(positive, negative)
    low = 1 / max(len(positive), len(negative))
    shown = np.unique(np.searchsorted(curve.fmr, np.geomspace(low / 2, 1, 300), side="right") - 1)

    def draw(axes: "Axes") -> None:
        rates = (np.maximum(rate[shown], low / 2) for rate in (curve.fmr, curve.tmr))
        axes.step(*rates, where="post", color=BLUE)
        axes.plot([low, 1], [low, 1], color=ORANGE, linestyle="--", label="guessing")
        axes.set(xscale="log", yscale="log", xlim=(low, 1), ylim=(low, 1.1))
        axes.set(xlabel="false positive rate (hold-out people)", ylabel="true positive rate")
        _plain_ticks(axes.xaxis, axes.yaxis)
        _legend_above(axes)

    return figure_svg(name, alt, draw)


def _legend_above(axes: "Axes") -> None:
    """Put the legend over the plot, where it hides nothing."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2, handlelength=1.4)


def _plain_ticks(*log_axes: "Axis") -> None:
    """Write 0.01 and 100 rather than powers of ten, which are slow to set and no text to a screen reader."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    for axis in log_axes:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
