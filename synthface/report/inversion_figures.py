"""Pictures of an inversion: targets beside what came of them, and the terms of the loss over the steps."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthface.report.contact_sheet import contact_sheet
from synthface.report.figures import BLUE, GREEN, ORANGE, PURPLE, figure_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

History = Mapping[str, Mapping[str, NDArray[np.float32]]]  # images, control -> name of a term -> [groups, steps]
MOST_SHOWN = 64
_COLUMNS = 8
_ROW_LABELS = {"sources": "target", "images": "inverted", "control": "no prior"}
_TERMS = {
    "identity": ("identity", BLUE),
    "prior": ("batch-norm prior", ORANGE),
    "tv_l1": ("total variation", GREEN),
    "tv_norm": ("total variation (norm)", GREEN),
    "l2": ("image norm", PURPLE),
}
_LINES = (("images", "-"), ("control", "--"))


def inversion_sheet(pictures: Mapping[str, NDArray[np.uint8]]) -> Image.Image:
    """Lay out up to 64 targets, eight across: each one's picture (where there is one) above its images.

    Args:
        pictures: ``sources``, ``images`` and ``control``, those there are, each [N, H, W, 3] uint8.
    """
    kinds = [kind for kind in _ROW_LABELS if kind in pictures]
    n = min(MOST_SHOWN, len(pictures["images"]))
    rows, labels = [], []
    for start in range(0, n, _COLUMNS):
        for kind in kinds:
            rows.append(list(pictures[kind][start : min(start + _COLUMNS, n)]))
            labels.append(_ROW_LABELS[kind])
    return contact_sheet(rows, labels=labels)


def terms_figure(history: History) -> str:
    """Draw each weighted term of the loss over the steps, mean over groups; the control dashed."""

    def draw(axes: "Axes") -> None:
        for kind, style in _LINES:
            for name, (label, colour) in _TERMS.items():
                values = history.get(kind, {}).get(name)
                if values is not None and values.any():
                    steps = np.arange(1, values.shape[1] + 1)
                    shown = label if kind == "images" else None
                    axes.plot(steps, values.mean(axis=0), style, color=colour, linewidth=1.2, label=shown)
        axes.set(xlabel="step", ylabel="weighted term", yscale="log")
        axes.legend()

    return figure_svg("terms", "terms of the loss over the steps", draw)


def cosine_figure(history: History) -> str:
    """Draw the cosine of the views with their targets over the steps, mean over groups."""

    def draw(axes: "Axes") -> None:
        for kind, style in _LINES:
            if kind in history:
                values = history[kind]["cosine"].mean(axis=0)
                label = "with prior" if kind == "images" else "control without prior"
                axes.plot(np.arange(1, len(values) + 1), values, style, color=BLUE, linewidth=1.2, label=label)
        axes.set(xlabel="step", ylabel="cosine", ylim=(None, 1.02))
        axes.legend(loc="lower right")

    return figure_svg("cosine", "cosine to the target over the steps", draw)
