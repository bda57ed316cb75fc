"""The two pages of an audit: a private one with pictures and names, a public one with neither."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.report.audit_figures import power_plot, recognizer_plots
from synthface.report.coarse import coarse, coarse_gate, coarse_text
from synthface.report.page import image_uri, render_page

_ROLES = {
    "synthetic": "synthetic set",
    "train": "training",
    "holdout": "hold-out",
    "placebo": "placebo",
    "train_other": "other photos",
}
_SMALL_GROUP = 10  # people
LINKED_BY = {
    "map": "the record of the generator, or a map that was given",
    "names": "equal names",
    "numbers": "equal running numbers, which may be an accident",
    "nothing": "nothing: no class carries the label of a training person",
}
LIMITS = (
    "This is a measurement, not a legal opinion: it says what these recognisers and these tests find.",
    "A better recogniser than those listed may find more.",
    "Leaks of other kinds than the planted ones may be found less often: see how fast power falls for morphs.",
    "Attributes of training people, such as age or sex, may be inferable without any of them being recognisable.",
    "Groups of people (by sex, age or skin) are told apart only where a table of attributes was given.",
    "Each audit uses up some of its hold-out: do not tune a generator on it more than three times.",
)


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
        flagged: whether the per-class alarm names the class.
    """

    synthetic: str
    train: str
    synthetic_image: NDArray[np.uint8]
    train_image: NDArray[np.uint8]
    scores: dict[str, float]
    same_label: bool
    flagged: bool = False


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
        public: leave out pictures and names, and coarsen every figure, also those in sentences, and every plot.
    """
    gates: list[Mapping[str, Any]] = list(result["gates"].values())
    tables = {name: result.get(name, []) for name in ("power", "people_slices", "class_slices")}
    if public:
        sentences = {"claim": coarse_text(result["claim"]), "needs": [coarse_text(need) for need in result["needs"]]}
        result, gates = {**result, **sentences}, [coarse_gate(gate) for gate in gates]
        tables = coarse({**tables, "people_slices": without_small_groups(tables["people_slices"])})
    return render_page(
        "audit.html",
        result=result,
        gates=[{**gate, "worst": worst_check(gate)} for gate in gates],
        panels=[
            {"recognizer": name, "plots": recognizer_plots(f"r{index}", item, public=public)}
            for index, (name, item) in enumerate(evidence.items())
            if item.nearest_train is not None or item.mated is not None
        ],
        pairs=[] if public else [_pair(pair) for pair in pairs],
        power_plot=power_plot(tables["power"]),
        **tables,
        not_concluded=result.get("not_concluded", []),
        remarks=remarks,
        roles=_ROLES,
        limits=LIMITS,
        linked_by=LINKED_BY[result["linked_by"]],
        profile=profile_words(result),
        provenance=provenance,
        versions=versions,
        public=public,
    )


def profile_words(result: Mapping[str, Any]) -> str:
    """Return which limits applied, and each that is not the default one."""
    changed = [f"{name} {here:g} (default {default:g})" for name, (default, here) in result["differences"].items()]
    if not changed:
        return f"profile {result['profile']}"
    return f"profile {result['profile']}; limits that differ from the default: {', '.join(changed)}"


def worst_check(gate: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the check that decides a gate: the first failed one, else the first undecided, else the first."""
    order = {False: 0, None: 1, True: 2}
    checks: Sequence[Mapping[str, Any]] = gate["checks"]
    return min(checks, key=lambda check: order[check["passed"]], default=None)


def without_small_groups(slices: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return groups of people with counts below ten hidden: who is in a small group may be known otherwise.

    One hidden count could be worked out from the size of the set, so the next smallest is hidden with it.
    """
    hidden: set[tuple[int, str]] = set()
    for column in ("n_train", "n_holdout"):
        for grouping in {(row["recognizer"], row["by"]) for row in slices}:
            rows = [k for k, row in enumerate(slices) if (row["recognizer"], row["by"]) == grouping]
            rows.sort(key=lambda k: slices[k][column])
            n_small = sum(slices[k][column] < _SMALL_GROUP for k in rows)
            hidden |= {(k, column) for k in rows[: 2 if n_small == 1 else n_small]}
    return [{key: None if (k, key) in hidden else value for key, value in row.items()} for k, row in enumerate(slices)]


def _pair(pair: PairPicture) -> dict[str, Any]:
    return {
        **vars(pair),
        "synthetic_uri": image_uri(pair.synthetic_image),
        "train_uri": image_uri(pair.train_image),
    }
