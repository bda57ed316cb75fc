"""The plots of ``synthface measure``: score distributions, DET curves, and figures of single images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synthface.report.figures import BLUE, GREEN, ORANGE, PURPLE
from synthface.report.verification_figures import Draw, draw_det

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
ROLES = {"measured": "this set", "beside": "set beside"}
_SCORE_COLOURS = {("measured", 0): BLUE, ("measured", 1): ORANGE, ("beside", 0): GREEN, ("beside", 1): PURPLE}
_IMAGE_COLOURS = {"measured": BLUE, "beside": ORANGE}
_DET_LIMITS = (1e-4, 0.99)  # labels of synthetic sets may mean little, so errors may be large
_IMAGE_TITLES = {"sharpness": "sharpness (variance of the Laplacian)", "contrast": "root mean square contrast"}


@dataclass(frozen=True)
class Distributions:
    """What the plots show.

    Attributes:
        scores: by recogniser and role, mated and non-mated scores.
        norms: by recogniser and role, lengths of the embeddings.
        images: by figure and role, one value an image.
    """

    scores: Mapping[str, Mapping[str, tuple[Floats, Floats]]]
    norms: Mapping[str, Mapping[str, Floats]]
    images: Mapping[str, Mapping[str, Floats]]


def measure_drawings(distributions: Distributions) -> dict[str, tuple[str, Draw]]:
    """Return what there is to draw: by file stem, a caption and a function that draws on given axes."""
    drawings: dict[str, tuple[str, Draw]] = {}
    for name, by_role in distributions.scores.items():
        drawings[f"scores-{name}"] = (f"Scores under {name}.", _scores(by_role))
    curves = {
        _curve_name(name, role, several=len(distributions.scores) > 1): scores
        for name, by_role in distributions.scores.items()
        for role, scores in by_role.items()
    }
    caption = "DET: both error rates on normal-deviate axes; the dotted line is FMR = FNMR."
    drawings["det"] = (caption, lambda axes: draw_det(axes, curves, limits=_DET_LIMITS))
    for name, norms in distributions.norms.items():
        if norms:
            caption = f"Length of the embeddings under {name}; well-seen faces tend to have longer ones."
            drawings[f"norms-{name}"] = (caption, _values(norms, "length of the embedding"))
    for figure, values in distributions.images.items():
        drawings[figure] = (f"{figure.capitalize()} of single images.", _values(values, _IMAGE_TITLES[figure]))
    return drawings


def _curve_name(recognizer: str, role: str, *, several: bool) -> str:
    return f"{ROLES[role]}, {recognizer}" if several else ROLES[role]


def _scores(by_role: Mapping[str, tuple[Floats, Floats]]) -> Draw:
    series = {
        f"{ROLES[role]}, {kind}": (scores[side], _SCORE_COLOURS[role, side])
        for role, scores in by_role.items()
        for side, kind in enumerate(("mated", "non-mated"))
    }
    return _densities(series, "cosine similarity")


def _values(by_role: Mapping[str, Floats], x_label: str) -> Draw:
    return _densities({ROLES[role]: (part, _IMAGE_COLOURS[role]) for role, part in by_role.items()}, x_label)


def _densities(series: Mapping[str, tuple[Floats, str]], x_label: str) -> Draw:
    """Draw stepped densities over common bins; the last bin gathers what lies above the top 0.2 % of every series."""
    low = min(float(part.min()) for part, _ in series.values())
    high = max(float(np.quantile(part, 0.998)) for part, _ in series.values())
    edges = np.linspace(low, max(high, low + 1e-6), 81)

    def draw(axes: "Axes") -> None:
        for label, (part, colour) in series.items():
            heights, _ = np.histogram(np.minimum(part, edges[-1]), edges, density=True)
            axes.stairs(heights, edges, fill=True, alpha=0.22, color=colour)
            axes.stairs(heights, edges, color=colour, linewidth=1.2, label=label)
        axes.set(xlabel=x_label, yticks=[])
        axes.spines.left.set_visible(False)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2, handlelength=1.4)

    return draw
