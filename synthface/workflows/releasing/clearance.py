"""The gate: no set leaves without a PASS that belongs to it, unless somebody takes the risk by name."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthface.core.errors import AuditError
from synthface.core.hashing import sha256_bytes, sha256_file
from synthface.data import FaceSet

AUDIT_FILE, PUBLIC_PAGE = "audit.json", "report_public.html"


@dataclass(frozen=True)
class Clearance:
    """Why a set may be released.

    Attributes:
        verdict: of the audit, or "not audited".
        claim: the audit's one-sentence claim.
        acknowledged: the reason given for going on without a PASS.
        audit_sha256: hash of the audit.json.
        audit: content of the audit.json.
        public_page: the audit's page for others, as it was checked; None without one.
    """

    verdict: str
    claim: str
    acknowledged: str | None
    audit_sha256: str | None
    audit: dict[str, Any] | None = field(default=None, repr=False)
    public_page: bytes | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return what the release says of it; the audit itself, which may name people, stays at home."""
        return {key: value for key, value in vars(self).items() if key not in ("audit", "public_page")}


def clear(faceset: FaceSet, audit: Path | None, acknowledged: str | None) -> Clearance:
    """Return why the set may be released.

    Raises:
        AuditError: there is no PASS that belongs to it, and the risk was not acknowledged; or the page that would go
            out with it is not the audit's.
    """
    verdict, claim, digest, result, page = "not audited", "No audit was made.", None, None, None
    if audit is not None:
        result = read_audit_file(audit)
        if audited_manifest(result) != faceset.manifest_sha256:
            raise AuditError(f"--audit {audit} belongs to another set than {faceset.root}; audit this one")
        _check_pass(result, faceset, f"--audit {audit}", acknowledged)
        page = _public_page(audit / PUBLIC_PAGE, result)
        verdict, claim, digest = result["verdict"], result["claim"], sha256_file(audit / AUDIT_FILE)
    if verdict != "PASS" and acknowledged is None:
        raise AuditError(
            f"{faceset.root} may not be released: {verdict}. Pass the audit (synthface audit, then --audit DIR), "
            'or take the risk with --acknowledge-risk "REASON"'
        )
    return Clearance(verdict, claim, acknowledged if verdict != "PASS" else None, digest, result, page)


def _check_pass(result: dict[str, Any], faceset: FaceSet, name: str, acknowledged: str | None) -> None:
    """Refuse a PASS that its own gates, its sets or the release's record contradict.

    Raises:
        AuditError: the file was edited, the sets were not real photos, the set was cleaned since, or the limits were
            changed and nobody took the risk.
    """
    if result["verdict"] != "PASS":
        return
    gates = result.get("gates", {})
    failed = [key for key, gate in gates.items() if gate.get("kind") != "warning" and gate.get("passed") is not True]
    if failed or not gates:
        raise AuditError(f"{name} says PASS, but not of gate {failed[0] if failed else 'V1 or any other'}; audit again")
    kinds = result.get("kinds", {})
    not_real = [role for role in ("train", "holdout", "placebo") if kinds.get(role, "real") != "real"]
    if not_real:
        raise AuditError(f"{name}: --{not_real[0]} was no set of real photos ({kinds[not_real[0]]}); audit with those")
    if (result.get("remediation") or {}).get("log_sha256") != (faceset.info.get("remediation") or {}).get("log_sha256"):
        raise AuditError(f"{name} knows of another cleaning of this set than {faceset.root} does; audit this one")
    changed = sorted(result.get("differences") or {})
    if changed and acknowledged is None:
        raise AuditError(
            f"{name} passed under changed limits ({', '.join(changed[:3])}); audit with the limits as they are, or "
            'take the risk with --acknowledge-risk "REASON"'
        )


def _public_page(path: Path, result: dict[str, Any]) -> bytes | None:
    """Return the audit's page for others; a file of that name which the audit did not write might show real faces."""
    if not path.is_file():
        return None
    page = path.read_bytes()
    if sha256_bytes(page) != result.get("public_page_sha256"):
        raise AuditError(f"{path} is not the page that this audit wrote; audit again, or take it out of there")
    return page


def read_audit_file(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's audit.json.

    Raises:
        AuditError: it has none, or not with what a release needs of it.
    """
    try:
        result: dict[str, Any] = json.loads((folder / AUDIT_FILE).read_text(encoding="utf-8"))
        audited_manifest(result)
        is_valid = isinstance(result["verdict"], str) and isinstance(result["claim"], str)
        is_valid &= all(isinstance(gate, dict) for gate in result.get("gates", {}).values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_valid = False
    if not is_valid:
        raise AuditError(f"--audit {folder} holds no valid {AUDIT_FILE}; make it with 'synthface audit'")
    return result


def audited_manifest(result: dict[str, Any]) -> str | None:
    """Return the hash of the manifest of the set that was audited."""
    digest: str | None = result["made_by"]["inputs"].get("synthetic manifest")
    return digest
