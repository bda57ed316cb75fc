"""The audit: real and synthetic embeddings in, a verdict out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from synthface.core.hashing import sha256_json
from synthface.core.run_record import to_json
from synthface.privacy.acquisition import Acquisition
from synthface.privacy.claim import claim_of
from synthface.privacy.config import AuditConfig
from synthface.privacy.copies import Copies
from synthface.privacy.copy_checks import search_copies
from synthface.privacy.gates import build_gates, largest_needs
from synthface.privacy.inputs import AuditInputs, Given, read_inputs
from synthface.privacy.label_check import check_people
from synthface.privacy.measure import Measurement, evidence_of, measure
from synthface.privacy.near_pairs import near_pairs
from synthface.privacy.nearest_photo import nearest_photo
from synthface.privacy.plants import PlantOutcome
from synthface.privacy.remediation import Remediation
from synthface.privacy.sealed import sealed_gate, sealed_recognizers
from synthface.privacy.search import Search, search
from synthface.privacy.signatures import ImageSignatures
from synthface.privacy.validity import shared_people
from synthface.privacy.verdict import CopiedImage, Gate, Outcome, Verdict

_PAIRS = 24  # nearest pairs kept for the report


def audit(
    *,
    synthetic: Given,
    train: Given | None = None,
    holdout: Given | None = None,
    placebo: Given | None = None,
    train_other: Given | None = None,
    config: AuditConfig | None = None,
    labels: Mapping[str, str] | None = None,
    signatures: Mapping[str, ImageSignatures] | None = None,
    planted: Sequence[PlantOutcome] = (),
    remediation: Remediation | None = None,
    acquisition: Acquisition | None = None,
    label_map_missing: bool = False,
    search: Search = search,
) -> Verdict:
    """Test whether real people can be found again in a synthetic set.

    FAIL means a leak was shown. PASS means that every test passed and that the audit itself was shown to work: the
    recognisers on held-out people, the alarm on planted ones, the comparison on a placebo. Otherwise the verdict is
    INCONCLUSIVE, and ``needs`` says what to supply.

    Args:
        synthetic: embeddings of the set to release: one Embeddings, or several by name of the recogniser.
        train: of the photos the generator was trained on.
        holdout: of people drawn at random by identity from the same pool, and never used.
        placebo: of a third, disjoint set of real people.
        train_other: of other photos of the training people, on which the generator was not trained.
        config: the limits; the defaults are those of ``AuditConfig``.
        labels: training identity of each synthetic identity whose class was trained on one; by default equal
            strings mean the same label.
        signatures: of the images, by role ("synthetic", "train", "holdout", "placebo"); without them copies (A1)
            cannot be looked for, and the verdict is never PASS.
        planted: what ``search_plants`` found of leaks planted as images; without it the verdict is never PASS.
        remediation: what was taken out of the set on the word of recognisers, if anything.
        acquisition: synthetic images in which no face was found, where a detector looked for them.
        label_map_missing: the synthetic identities are a generator's classes and nobody knows of which people, so that
            the test of labels (A4) stays undecided.
        search: compares every query with every photo; for searches by several processes or on another device.

    Raises:
        AuditError: the inputs contradict each other; nothing is concluded from them.
    """
    config = config or AuditConfig()
    given = {
        "synthetic": synthetic, "train": train, "train_other": train_other, "holdout": holdout, "placebo": placebo
    }  # fmt: skip
    inputs = read_inputs(given, labels, signatures)
    check_people(inputs, config)
    rounds = remediation.rounds if remediation else 1
    results = {name: measure(inputs, name, config, search, rounds=rounds) for name in inputs.recognizers}
    copies = search_copies(inputs.signatures, _nearest_photos(results, inputs, config), config)
    gates = build_gates(
        inputs,
        results,
        copies,
        config,
        planted=planted,
        acquisition=acquisition,
        label_map_missing=label_map_missing,
    )
    sealed = sealed_recognizers(remediation, inputs.recognizers)
    gates["A8"] = sealed_gate(remediation, sealed, gates, config)
    outcome = decide(gates)
    first_failed = sorted(gates.values(), key=lambda gate: gate.kind != "leak" or gate.passed is not False)
    needs = largest_needs(
        need
        for gate in first_failed
        if not gate.passed and (gate.kind != "warning" or outcome == "FAIL")
        for need in gate.needs
        if need
    )
    sizes = inputs.sizes()
    return Verdict(
        verdict=outcome,
        claim=claim_of(outcome, gates, needs, sizes["synthetic"]["identities"], inputs.linked_by, config),
        gates=gates,
        needs=needs if outcome != "PASS" else (),
        flagged=tuple(sorted({name for result in results.values() for name in result.flagged})),
        flagged_images=_flagged_images(results),
        copies=_copied_images(inputs, copies),
        unaudited=None if acquisition is None else tuple(sorted(acquisition.unaudited)),
        overlap=_overlap(inputs, results),
        sizes=sizes,
        linked_by=inputs.linked_by,
        recognizers=inputs.recognizers,
        sealed=sealed,
        remediation=remediation,
        config=config,
        config_sha256=sha256_json(to_json(config)),
        profile=config.profile,
        differences=config.differences(),
        evidence={
            name: replace(evidence_of(result), pairs=near_pairs(inputs, results, name, _PAIRS))
            for name, result in results.items()
        },
    )


def decide(gates: Mapping[str, Gate]) -> Outcome:
    """Return FAIL if any leak gate failed, PASS if every gate but warnings passed, else INCONCLUSIVE."""
    if any(gate.passed is False for gate in gates.values() if gate.kind == "leak"):
        return "FAIL"
    return "PASS" if all(gate.passed for gate in gates.values() if gate.kind != "warning") else "INCONCLUSIVE"


def _nearest_photos(
    results: Mapping[str, Measurement], inputs: AuditInputs, config: AuditConfig
) -> dict[tuple[str, str], NDArray[np.int64]]:
    """Return [N, r] the photo that each of r recognisers finds nearest, for searches that went over all images."""
    whole: dict[tuple[str, str], list[NDArray[np.int64]]] = {}
    for name, result in results.items():
        for (queries, role), (_, rows) in result.nearest.items():
            asked, photos = inputs.roles[queries][name], inputs.roles[role][name]
            n = len(asked)
            images = result.queries.get(queries, np.arange(n))
            if len(images) == n:
                ordered = np.empty(n, np.int64)
                ordered[images] = rows
                ordered = nearest_photo(asked.vectors, ordered, photos, config.images_per_identity)
                whole.setdefault((queries, role), []).append(ordered)
    return {pair: np.stack(rows, axis=1) for pair, rows in whole.items()}


def _flagged_images(results: Mapping[str, Measurement]) -> dict[str, tuple[str, ...]]:
    """Return the recognisers that name each single image."""
    named: dict[str, tuple[str, ...]] = {}
    for recognizer, result in results.items():
        for image in result.flagged_images:
            named[image] = (*named.get(image, ()), recognizer)
    return dict(sorted(named.items()))


def _copied_images(inputs: AuditInputs, copies: Mapping[tuple[str, str], Copies]) -> tuple[CopiedImage, ...]:
    found = copies.get(("synthetic", "train"))
    if found is None:
        return ()
    synthetic, train = inputs.signatures["synthetic"].images, inputs.signatures["train"].images
    return tuple(
        CopiedImage(str(synthetic[image]), str(train[photo]), float(score), bool(mirrored))
        for image, photo, score, mirrored in zip(
            found.images, found.photos, found.correlation, found.mirrored, strict=True
        )
    )


def _overlap(inputs: AuditInputs, results: Mapping[str, Measurement]) -> tuple[tuple[str, str], ...]:
    if "train" not in inputs.roles or "holdout" not in inputs.roles:
        return ()
    people = [np.unique(inputs.roles[role][inputs.recognizers[0]].identities) for role in ("train", "holdout")]
    return tuple((str(people[0][i]), str(people[1][j])) for i, j in shared_people(results))
