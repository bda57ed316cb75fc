"""The page of a sidecar: the distribution of every score of a set's images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.report.figures import BLUE, figure_svg
from synthface.report.page import render_page

# name of the score: title, and what its axis means
SCORES = {
    "similarity": ("Similarity to the class", "cosine with the mean of the class's other images"),
    "norm": ("Norm of the embedding", "before normalising"),
    "confidence": ("Confidence of the detector", "face probability"),
    "yaw": ("Yaw", "degrees; positive to the viewer's right"),
    "pitch": ("Pitch", "degrees; positive down"),
    "roll": ("Roll", "degrees; positive clockwise"),
    "pose_residual": ("Misfit of the pose", "share of the distance between the eyes"),
    "sharpness": ("Sharpness", "variance of the Laplacian"),
    "contrast": ("Contrast", "root mean square, full scale 1"),
}
_FEWEST_BINS, _MOST_BINS = 10, 60


def sidecar_page(summary: Mapping[str, Any], scores: Mapping[str, NDArray[np.float64]]) -> str:
    """Return the page as HTML.

    Args:
        summary: the content of ``sidecar.json``.
        scores: values of every score, [N]; NaN where there is none.
    """
    rows = [(SCORES[name][0], summary["scores"][name]) for name in SCORES if summary["scores"][name]["n"]]
    figures = [
        (_figure(name, values[np.isfinite(values)]), SCORES[name][0])
        for name, values in ((name, scores[name]) for name in SCORES)
        if np.isfinite(values).any()
    ]
    return render_page("sidecar.html", summary=summary, rows=rows, figures=figures)


def _figure(name: str, values: NDArray[np.float64]) -> str:
    low, high = float(values.min()), float(values.max())
    n_bins = int(np.clip(2 * np.cbrt(len(values)), _FEWEST_BINS, _MOST_BINS))  # Rice's rule
    edges = [float(edge) for edge in np.linspace(low, high if high > low else low + 1, n_bins + 1)]
    title, label = SCORES[name]

    def draw(axes: Any) -> None:
        axes.hist(values, edges, histtype="stepfilled", alpha=0.25, color=BLUE)
        axes.hist(values, edges, histtype="step", color=BLUE, linewidth=1.2)
        axes.set(xlabel=label, ylabel="images")
        axes.yaxis.get_major_locator().set_params(integer=True)

    alt = f"{title}: median {np.median(values):.3g}, from {low:.3g} to {high:.3g}"
    return figure_svg(f"score-{name}", alt, draw)
