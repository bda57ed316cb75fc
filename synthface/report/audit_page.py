"""The two pages of an audit: a private one with pictures and names, a public one with neither."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.report.figures import BLUE, GREEN, ORANGE, PURPLE, cmc_figure, density_figure, log_roc_figure
from synthface.report.page import image_uri, render_page

_ROLES = {"synthetic": "synthetic set", "train": "training", "holdout": "hold-out", "placebo": "placebo"}
_LIMITS = (
    "This is a measurement, not a legal opinion: it says what these recognisers and these tests find.",
    "A better recogniser than those listed may find more.",
    "Planted leaks are made from embeddings of whole classes; a single leaked image within a class may go unfound.",
    "Copies of single photos (A1), data copying by region (A6) and uniqueness within the set (A7) are not tested yet.",
    "Membership is attacked with the very photos that were trained on, and only with the similarity of faces.",
    "Attributes of training people, such as age or sex, may be inferable without any of them being recognisable.",
    "Each audit uses up some of its hold-out: do not tune a generator on it more than three times.",
)
_PUBLIC_BIN = 0.05


@dataclass(frozen=True)
class PairPicture:
    """A synthetic image beside the training photo nearest to it.

    Attributes:
        synthetic: name of the class.
        train: name of the training person.
        synthetic_image: [H, W, 3] uint8.
        train_image: [H, W, 3] uint8.
        scores: cosine similarity by recogniser.
        same_label: whether the class carries that person's label.
    """

    synthetic: str
    train: str
    synthetic_image: NDArray[np.uint8]
    train_image: NDArray[np.uint8]
    scores: dict[str, float]
    same_label: bool


def audit_page(
    result: Mapping[str, Any],
    evidence: Mapping[str, Any],
    *,
    provenance: Mapping[str, str],
    versions: Mapping[str, str],
    pairs: Sequence[PairPicture] = (),
    remarks: Sequence[str] = (),
    public: bool,
) -> str:
    """Return the page as HTML.

    Args:
        result: the audit as JSON.
        evidence: the arrays behind it by recogniser, with the attributes of ``synthface.privacy.evidence.Evidence``.
        provenance: SHA-256 of inputs, recognisers and configuration by what they are.
        versions: of the libraries.
        pairs: pictures for the private page.
        remarks: sentences to put under the claim.
        public: leave out pictures and names, and coarsen every number and plot.
    """
    gates = [{**gate, "worst": worst_check(gate)} for gate in result["gates"].values()]
    if public:
        gates = [_coarse(gate) for gate in gates]
    return render_page(
        "audit.html",
        result=result,
        gates=gates,
        panels=[
            {"recognizer": name, "plots": _plots(f"r{index}", item, public)}
            for index, (name, item) in enumerate(evidence.items())
            if item.nearest_train is not None or item.mated is not None
        ],
        pairs=[] if public else [_pair(pair) for pair in pairs],
        remarks=remarks,
        roles=_ROLES,
        limits=_LIMITS,
        provenance=provenance,
        versions=versions,
        public=public,
    )


def worst_check(gate: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the check that decides a gate: the first failed one, else the first undecided, else the first."""
    order = {False: 0, None: 1, True: 2}
    checks: Sequence[Mapping[str, Any]] = gate["checks"]
    return min(checks, key=lambda check: order[check["passed"]], default=None)


def _coarse(value: Any) -> Any:
    """Round fractions to two significant digits: exact scores are themselves a way to query the training set."""
    if isinstance(value, float):
        return float(round(value)) if abs(value) >= 1 else float(f"{value:.2g}")
    if isinstance(value, Mapping):
        return {key: _coarse(item) for key, item in value.items()}
    return [_coarse(item) for item in value] if isinstance(value, list) else value


def _pair(pair: PairPicture) -> dict[str, Any]:
    return {
        **vars(pair),
        "synthetic_uri": image_uri(pair.synthetic_image),
        "train_uri": image_uri(pair.train_image),
    }


def _plots(name: str, evidence: Any, public: bool) -> list[dict[str, str]]:
    """Draw what there is to draw for one recogniser."""
    width = _PUBLIC_BIN if public else 0.01
    plots: list[dict[str, str]] = []

    def add(caption: str, svg: str) -> None:
        plots.append({"caption": caption, "svg": svg})

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
        add(caption, density_figure(f"{name}-scores", caption, images, x_label="cosine similarity", bin_width=width))
    if evidence.person_holdout is not None:
        people = {
            "hold-out people": (evidence.person_holdout, PURPLE),
            "training people": (evidence.person_train, BLUE),
        }
        caption = (
            "How near each person comes to the set (mean of the largest scores). Without a leak the two curves agree; "
            "gates A2 and A5 compare them."
        )
        add(caption, density_figure(f"{name}-people", caption, people, x_label="a person's score", bin_width=width))
    if evidence.ranks is not None:
        add(*_linkage_plot(name, evidence, width))
        caption = "How often the training person of a class's label is among its nearest k (cumulative match curve)."
        n_people = len(evidence.person_train) if evidence.person_train is not None else int(evidence.ranks.max())
        add(caption, cmc_figure(f"{name}-cmc", caption, evidence.ranks, max(2, n_people)))
    if evidence.person_holdout is not None and not public:
        caption = "Telling training people from hold-out people by that score, on logarithmic axes (gate A5)."
        add(caption, log_roc_figure(f"{name}-roc", caption, evidence.person_train, evidence.person_holdout))
    return plots


def _linkage_plot(name: str, evidence: Any, width: float) -> tuple[str, str]:
    caption = "Each class against the training person of its own label and against all others (gate A4)."
    series = {"other labels": (evidence.unlinked, ORANGE), "same label": (evidence.linked, BLUE)}
    svg = density_figure(f"{name}-linkage", caption, series, x_label="cosine similarity", bin_width=max(width, 0.02))
    return caption, svg
