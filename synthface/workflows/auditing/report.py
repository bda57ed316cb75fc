"""What an audit writes: the result, its schema, two pages and a card."""

import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthface.core.atomic import atomic_folder
from synthface.core.hashing import sha256_file
from synthface.core.run_record import write_json
from synthface.data import FaceSet
from synthface.workflows.auditing.inputs import FaceSets
from synthface.workflows.auditing.result import RESULT

if TYPE_CHECKING:
    from synthface.privacy.evidence import Evidence
    from synthface.privacy.plants import PlantOutcome
    from synthface.report.audit_page import PairPicture

SCHEMA, CARD = "audit.schema.json", "audit.md"
PRIVATE_PAGE, PUBLIC_PAGE = "report.html", "report_public.html"


def write_audit(
    out: Path,
    result: dict[str, Any],
    evidence: Mapping[str, "Evidence"],
    facesets: FaceSets,
    remarks: list[str],
) -> None:
    """Write the folder of an audit.

    Args:
        out: the folder.
        result: the audit as JSON.
        evidence: arrays behind the figures, by recogniser.
        facesets: what was audited, for the pictures.
        remarks: sentences to put under the claim.
    """
    from synthface.report.audit_card import audit_card
    from synthface.report.audit_page import audit_page

    pictures = _pictures(result, evidence[result["recognizers"][0]], facesets)
    record = result["made_by"]
    common: dict[str, Any] = {"provenance": record["inputs"], "versions": record["versions"], "remarks": remarks}
    with atomic_folder(out) as folder:
        (folder / SCHEMA).write_bytes(importlib.resources.files("synthface.report").joinpath(SCHEMA).read_bytes())
        private = audit_page(result, evidence, pairs=pictures, public=False, **common)
        public = audit_page(result, evidence, public=True, **common)
        (folder / PRIVATE_PAGE).write_text(private, encoding="utf-8")
        (folder / PUBLIC_PAGE).write_text(public, encoding="utf-8")
        (folder / CARD).write_text(audit_card(result, record["inputs"]), encoding="utf-8")
        write_json(folder / RESULT, result | {"public_page_sha256": sha256_file(folder / PUBLIC_PAGE)})


def _pictures(result: Mapping[str, Any], evidence: "Evidence", facesets: FaceSets) -> list["PairPicture"]:
    from synthface.report.audit_page import PairPicture

    pictures: list[PairPicture] = []
    for pair in evidence.pairs:
        synthetic: FaceSet = facesets["synthetic"]
        train: FaceSet = facesets["train"]
        name = synthetic.records[pair.synthetic].identity
        pictures.append(
            PairPicture(
                synthetic=name,
                train=train.records[pair.train].identity,
                synthetic_image=synthetic.read_image(pair.synthetic),
                train_image=train.read_image(pair.train),
                scores=pair.scores,
                same_label=bool(pair.same_label),
                flagged=name in result["flagged"],
            )
        )
    return sorted(pictures, key=lambda picture: not picture.flagged)


def power_row(outcome: "PlantOutcome", confidence: float) -> dict[str, Any]:
    """Return a line of the power table."""
    from synthface.privacy.plants import KINDS

    kind = KINDS[outcome.kind]
    return {
        "kind": kind.key,
        "words": outcome.words,
        "unit": kind.unit,
        "strength": kind.strength,
        "classes": outcome.classes,
        "demand": kind.demand,
        "curve": kind.unit == "classes" or kind.key == "verbatim" or kind.strength < 1,
        "n": outcome.n,
        "found": outcome.found,
        "recall": round(outcome.recall, 6),
        "interval": [round(end, 6) for end in outcome.interval(confidence)],
        "by_recognizer": dict(outcome.by_recognizer),
        "as_copies": outcome.as_copies,
    }


def facts_of(recognizer: str) -> dict[str, str]:
    """Return what is known of a recogniser: its architecture and what it was trained on."""
    from synthface.recognition.catalogue import find_weights

    description = find_weights(recognizer).description or {}
    return {key: str(description.get(key, "not stated")) for key in ("architecture", "trained_on")}


def remarks_on(kinds: Mapping[str, str]) -> list[str]:
    """Return sentences on sets that are not of the kind that belongs in their place."""
    remarks = []
    if kinds["synthetic"] != "synthetic":
        remarks.append(
            f"The set audited is a {kinds['synthetic']} FaceSet, not a synthetic one: this is an experiment."
        )
    odd = [role for role, kind in kinds.items() if role != "synthetic" and kind != "real"]
    if odd:
        remarks.append(f"Not real faces, though real ones belong there: {', '.join(odd)}.")
    return remarks
