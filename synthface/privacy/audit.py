"""The audit: real and synthetic embeddings in, a verdict out."""

from collections.abc import Mapping

import numpy as np

from synthface.core.hashing import sha256_json
from synthface.core.run_record import to_json
from synthface.privacy.claim import claim_of
from synthface.privacy.config import AuditConfig
from synthface.privacy.gates import build_gates, shared_people
from synthface.privacy.inputs import AuditInputs, Given, read_inputs
from synthface.privacy.measure import Measurement, evidence_of, measure, near_pairs
from synthface.privacy.verdict import Gate, Outcome, Verdict

_PAIRS = 24  # nearest pairs kept for the report


def audit(
    *,
    synthetic: Given,
    train: Given | None = None,
    holdout: Given | None = None,
    placebo: Given | None = None,
    config: AuditConfig | None = None,
    labels: Mapping[str, str] | None = None,
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
        config: the limits; the defaults are those of ``AuditConfig``.
        labels: training identity of each synthetic identity whose class was trained on one; by default equal
            strings mean the same label.

    Raises:
        AuditError: the embeddings contradict each other.
    """
    config = config or AuditConfig()
    inputs = read_inputs(synthetic, train, holdout, placebo, labels)
    results = {name: measure(inputs, name, config) for name in inputs.recognizers}
    gates = build_gates(inputs, results, config)
    outcome = decide(gates)
    first_failed = sorted(gates.values(), key=lambda gate: gate.kind != "leak" or gate.passed is not False)
    needs = tuple(dict.fromkeys(need for gate in first_failed if not gate.passed for need in gate.needs if need))
    sizes = inputs.sizes()
    return Verdict(
        verdict=outcome,
        claim=claim_of(outcome, gates, needs, sizes["synthetic"]["identities"], config),
        gates=gates,
        needs=needs if outcome != "PASS" else (),
        flagged=tuple(sorted({name for result in results.values() for name in result.flagged})),
        overlap=_overlap(inputs, results),
        sizes=sizes,
        recognizers=inputs.recognizers,
        config=config,
        config_sha256=sha256_json(to_json(config)),
        evidence={
            name: evidence_of(result, near_pairs(inputs, results, name, _PAIRS)) for name, result in results.items()
        },
    )


def decide(gates: dict[str, Gate]) -> Outcome:
    """Return FAIL if any leak gate failed, PASS if every gate but warnings passed, else INCONCLUSIVE."""
    if any(gate.passed is False for gate in gates.values() if gate.kind == "leak"):
        return "FAIL"
    return "PASS" if all(gate.passed for gate in gates.values() if gate.kind != "warning") else "INCONCLUSIVE"


def _overlap(inputs: AuditInputs, results: dict[str, Measurement]) -> tuple[tuple[str, str], ...]:
    if "train" not in inputs.roles or "holdout" not in inputs.roles:
        return ()
    people = [np.unique(inputs.roles[role][inputs.recognizers[0]].identities) for role in ("train", "holdout")]
    return tuple((str(people[0][i]), str(people[1][j])) for i, j in shared_people(results))
