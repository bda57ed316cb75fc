"""An audit read back from its folder, whoever wrote what stands there."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any

from synthface.core.errors import AuditError, ConfigError
from synthface.core.hashing import sha256_file
from synthface.privacy.config import AuditConfig
from synthface.workflows.json_fields import Types, wrong_field

RESULT = "audit.json"
FORMAT, VERSION = "synthface-audit", 3
# What 'clean', 'release' and 'verify' read of it; audit.schema.json describes it all.
_FIELDS: dict[str, Types] = {
    "verdict": str,
    "claim": str,
    "recognizers": list,
    "recognizers.*": str,
    "made_by": dict,
    "made_by.inputs": dict,
    "made_by.inputs.*": str,
    "made_by.inputs.synthetic manifest": str,
    "made_by.config": dict,
    "made_by.config.recognizers": list,
    "made_by.config.recognizers.*": str,
    "config": dict,
    "flagged": list,
    "flagged.*": str,
    "flagged_images": list,
    "flagged_images.*.image": str,
    "flagged_images.*.why": str,
    "gates": dict,
    **{f"gates.*.{name}": str for name in ("id", "title", "kind")},
    "gates.*.passed": (bool, NoneType),
    "gates.*.applicable": bool,
    "kinds": dict,
    "kinds.*": str,
    "sizes": dict,
    "sizes.*.images": int,
    "sizes.*.identities": int,
    "not_concluded": list,
    "not_concluded.*": str,
    "remediation": (dict, NoneType),
    "remediation.log_sha256": str,
    "public_page_sha256": str,
}


@dataclass(frozen=True)
class AuditResult:
    """What later steps need of an audit.

    Attributes:
        folder: of the audit.
        sha256: of its audit.json.
        verdict: PASS, FAIL or INCONCLUSIVE.
        recognizers: names, in the order used.
        given: the same as they were given, which may be paths.
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
    given: tuple[str, ...]
    weights: tuple[str, ...]
    config: AuditConfig
    flagged_classes: tuple[str, ...]
    flagged_images: dict[str, str]
    synthetic_sha256: str
    holdout_sha256: str


def read_audit(folder: Path) -> AuditResult:
    """Read the audit in ``folder``.

    Raises:
        AuditError: there is none, or it is damaged or of another version.
    """
    result = read_result(folder)
    inputs: dict[str, str] = result["made_by"]["inputs"]
    unknown = next((name for name in result["recognizers"] if f"recogniser {name}" not in inputs), None)
    if unknown is not None:
        raise _damaged(folder, f"made_by.inputs.recogniser {unknown}")
    return AuditResult(
        folder=folder,
        sha256=sha256_file(folder / RESULT),
        verdict=result["verdict"],
        recognizers=tuple(result["recognizers"]),
        given=tuple(result["made_by"]["config"]["recognizers"]),
        weights=tuple(inputs[f"recogniser {name}"] for name in result["recognizers"]),
        config=limits_of(result, folder),
        flagged_classes=tuple(result["flagged"]),
        flagged_images={item["image"]: item["why"] for item in result["flagged_images"]},
        synthetic_sha256=inputs["synthetic manifest"],
        holdout_sha256=inputs.get("holdout manifest", "none"),
    )


def read_result(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's audit.json, whose fields are of the types that they should be.

    Raises:
        AuditError: there is none, or it is damaged or of another version.
    """
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        result = None
    if not isinstance(result, dict) or result.get("format") != FORMAT:
        raise AuditError(f"--audit {folder} holds no valid {RESULT}; make it with 'synthface audit'")
    if result.get("version") != VERSION:
        raise AuditError(
            f"--audit {folder}: the version of {RESULT} is {str(result.get('version'))[:20]}, this synthface reads "
            f"{VERSION}; audit again"
        )
    wrong = wrong_field(result, _FIELDS)
    if wrong is not None:
        raise _damaged(folder, wrong)
    return result


def limits_of(result: dict[str, Any], folder: Path) -> AuditConfig:
    """Return the limits that applied to an audit.

    Raises:
        AuditError: one is missing, unknown or out of range.
    """
    odd = sorted(result["config"].keys() ^ {field.name for field in fields(AuditConfig)})
    if odd:
        raise _damaged(folder, f"config.{odd[0]}")
    try:
        return AuditConfig.from_mapping(result["config"], source="config")
    except ConfigError as error:
        raise AuditError(f"--audit {folder} holds no valid {RESULT} ({error}); audit again") from None


def _damaged(folder: Path, field: str) -> AuditError:
    return AuditError(
        f"--audit {folder} holds no valid {RESULT} ('{field}' is missing, unknown or of another type); audit again"
    )
