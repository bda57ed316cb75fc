"""An audit read back from its folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthface.core.errors import AuditError
from synthface.core.hashing import sha256_file

RESULT = "audit.json"


@dataclass(frozen=True)
class AuditResult:
    """What later steps need of an audit.

    Attributes:
        folder: of the audit.
        sha256: of its audit.json.
        verdict: PASS, FAIL or INCONCLUSIVE.
        recognizers: names, in the order used.
        weights: SHA-256 of their weights.
        config: the limits that applied.
        flagged_classes: synthetic identities that the alarm names.
        flagged_images: why each flagged image is, by its path.
        synthetic_sha256: manifest of the set that was audited.
        holdout_sha256: manifest of the hold-out, or "none".
    """

    folder: Path
    sha256: str
    verdict: str
    recognizers: tuple[str, ...]
    weights: tuple[str, ...]
    config: dict[str, Any]
    flagged_classes: tuple[str, ...]
    flagged_images: dict[str, str]
    synthetic_sha256: str
    holdout_sha256: str


def read_audit(folder: Path) -> AuditResult:
    """Read the audit in ``folder``.

    Raises:
        AuditError: there is none, or it is damaged or of an earlier version.
    """
    path = folder / RESULT
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        inputs = result["made_by"]["inputs"]
        return AuditResult(
            folder=folder,
            sha256=sha256_file(path),
            verdict=result["verdict"],
            recognizers=tuple(result["recognizers"]),
            weights=tuple(inputs[f"recogniser {name}"] for name in result["recognizers"]),
            config=dict(result["config"]),
            flagged_classes=tuple(result["flagged"]),
            flagged_images={item["image"]: item["why"] for item in result["flagged_images"]},
            synthetic_sha256=inputs["synthetic manifest"],
            holdout_sha256=inputs.get("holdout manifest", "none"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise AuditError(f"--audit {folder} holds no valid {RESULT}; make it with 'synthface audit'") from None
