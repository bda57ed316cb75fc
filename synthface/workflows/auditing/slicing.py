"""The groups that an audit tells apart, from manifests and the user's table, and what it found in each."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synthface.core.run_record import to_json
from synthface.workflows.auditing.attributes import Attributes
from synthface.workflows.auditing.inputs import FaceSets, Sets

if TYPE_CHECKING:
    from synthface.privacy.evidence import Evidence
    from synthface.privacy.grouping import Grouping


def people_slices(
    facesets: FaceSets, sets: Sets, evidence: Mapping[str, "Evidence"], attributes: Attributes, confidence: float
) -> list[dict[str, Any]]:
    """Return the membership attack by number of photos, quality and each attribute, under every recogniser."""
    from synthface.privacy.slices import slice_people

    if not {"train", "holdout"} <= set(facesets):
        return []
    groupings = _groupings(facesets, sets, ("train", "holdout"), "photos a person", attributes)
    return [
        to_json(part)
        for grouping in groupings
        for name, item in evidence.items()
        if item.person_train is not None and item.person_holdout is not None
        for part in slice_people(
            name,
            grouping.by,
            grouping.groups,
            (grouping.of[0], grouping.of[1]),
            (item.person_train, item.person_holdout),
            confidence,
        )
    ]


def class_slices(
    facesets: FaceSets, sets: Sets, flagged: Collection[str] | None, attributes: Attributes, confidence: float
) -> list[dict[str, Any]]:
    """Return the flagged classes by number of images, quality and each attribute.

    Args:
        facesets: by role.
        sets: their embeddings.
        flagged: classes that the alarm names; None where there was none to raise.
        attributes: of classes, among others.
        confidence: at each end of the intervals.
    """
    from synthface.privacy.slices import slice_classes

    if flagged is None:
        return []
    hits = np.isin(facesets["synthetic"].identities, sorted(flagged))
    groupings = _groupings(facesets, sets, ("synthetic",), "images a class", attributes)
    return [
        to_json(part)
        for grouping in groupings
        for part in slice_classes(grouping.by, grouping.groups, grouping.of[0], hits, confidence)
    ]


def _groupings(
    facesets: FaceSets, sets: Sets, roles: Sequence[str], counted: str, attributes: Attributes
) -> list["Grouping"]:
    """Return the ways to group the identities of some sets; an attribute of nobody in them is left out."""
    from synthface.privacy.grouping import by_attribute, by_count, by_thirds

    identities = [np.array([record.identity for record in facesets[role].records]) for role in roles]
    groupings = [by_count(counted, identities)]
    measure = _quality(facesets, sets, roles)
    if measure is not None:
        groupings.append(by_thirds(measure[0], identities, measure[1]))
    named = {name for names in identities for name in names.tolist()}
    groupings += [by_attribute(by, identities, of) for by, of in attributes.items() if named & of.keys()]
    return groupings


def _quality(facesets: FaceSets, sets: Sets, roles: Sequence[str]) -> tuple[str, list[NDArray[np.float64]]] | None:
    """Return what is known of the quality of every image: the detector's confidence, else the norm of its embedding.

    Recognisers that were trained with a margin give clearer faces longer embeddings (Meng et al., "MagFace", CVPR
    2021, make a loss of it).
    """
    confidence = [[record.quality for record in facesets[role].records] for role in roles]
    if all(value is not None for part in confidence for value in part):
        return "confidence of the face detector", [np.array(part, dtype=np.float64) for part in confidence]
    recognizer, _ = next(iter(sets[roles[0]].items()))
    norms = [sets[role][recognizer].norms for role in roles]
    if any(part is None for part in norms):
        return None
    return f"length of the embedding before normalising ({recognizer})", [
        np.asarray(part, np.float64) for part in norms
    ]
