"""The gate: no set leaves without a PASS that belongs to it, unless somebody takes the risk by name."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from synthface.core.errors import AuditError
from synthface.core.hashing import sha256_bytes, sha256_file
from synthface.data import FaceSet
from synthface.report.coarse import coarse_text
from synthface.workflows.auditing.result import RESULT, limits_of, read_result

PUBLIC_PAGE = "report_public.html"
Limits = dict[str, tuple[float, float]]  # default and the one that applied, by name


@dataclass(frozen=True)
class Clearance:
    """Why a set may be released.

    Attributes:
        verdict: of the audit, or "not audited".
        claim: the audit's one-sentence claim, with its figures as coarse as on the page for others.
        changed_limits: limits that are of none of the profiles.
        acknowledged: the reason given for going on without a PASS, or with one under changed limits.
        audit_sha256: hash of the audit.json.
        audit: content of the audit.json.
        public_page: the audit's page for others, as it was checked; None without one.
    """

    verdict: str
    claim: str
    changed_limits: Limits
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
    if audit is None:
        cleared = Clearance("not audited", "No audit was made.", {}, None, None)
    else:
        cleared = _audited(faceset, audit)
    if cleared.verdict == "PASS" and not cleared.changed_limits:
        return cleared
    if acknowledged is not None:
        return replace(cleared, acknowledged=acknowledged)
    take = 'take the risk with --acknowledge-risk "REASON"'
    if cleared.verdict == "PASS":
        names = ", ".join(list(cleared.changed_limits)[:3])
        raise AuditError(
            f"--audit {audit} passed under changed limits ({names}); audit with the limits as they are, or {take}"
        )
    raise AuditError(
        f"{faceset.root} may not be released: {cleared.verdict}. Pass the audit (synthface audit, then --audit DIR), "
        f"or {take}"
    )


def _audited(faceset: FaceSet, audit: Path) -> Clearance:
    """Return what an audit says of the set, whether or not that is enough."""
    result = read_result(audit)
    if audited_manifest(result) != faceset.manifest_sha256:
        raise AuditError(f"--audit {audit} belongs to another set than {faceset.root}; audit this one")
    _check_pass(result, faceset, f"--audit {audit}")
    _check_names(result, f"--audit {audit}")
    limits = limits_of(result, audit)
    return Clearance(
        verdict=result["verdict"],
        claim=coarse_text(result["claim"]),
        changed_limits=limits.differences() if limits.profile == "custom" else {},
        acknowledged=None,
        audit_sha256=sha256_file(audit / RESULT),
        audit=result,
        public_page=_public_page(audit / PUBLIC_PAGE, result),
    )


def _check_pass(result: dict[str, Any], faceset: FaceSet, name: str) -> None:
    """Refuse a PASS that its own gates, its sets or the release's record contradict.

    Raises:
        AuditError: the file was edited, the sets were not real photos, or the set was cleaned since.
    """
    if result["verdict"] != "PASS":
        return
    gates = result["gates"]
    failed = [key for key, gate in gates.items() if gate["kind"] != "warning" and gate["passed"] is not True]
    if failed or not gates:
        raise AuditError(f"{name} says PASS, but not of gate {failed[0] if failed else 'V1 or any other'}; audit again")
    kinds = result["kinds"]
    not_real = [role for role in ("train", "holdout", "placebo") if kinds.get(role, "real") != "real"]
    if not_real:
        raise AuditError(f"{name}: --{not_real[0]} was no set of real photos ({kinds[not_real[0]]}); audit with those")
    if (result["remediation"] or {}).get("log_sha256") != (faceset.info.get("remediation") or {}).get("log_sha256"):
        raise AuditError(f"{name} knows of another cleaning of this set than {faceset.root} does; audit this one")


def _check_names(result: dict[str, Any], name: str) -> None:
    """Refuse an audit whose sentences name recognisers by folders of this machine, as they once did."""
    path = next((given for given in result["recognizers"] if "/" in given or "\\" in given), None)
    if path is not None:
        raise AuditError(f"{name} calls a recogniser by its path ({path}), which the cards would tell; audit again")


def _public_page(path: Path, result: dict[str, Any]) -> bytes | None:
    """Return the audit's page for others; a file of that name which the audit did not write might show real faces."""
    if not path.is_file():
        return None
    page = path.read_bytes()
    if sha256_bytes(page) != result["public_page_sha256"]:
        raise AuditError(f"{path} is not the page that this audit wrote; audit again, or take it out of there")
    return page


def audited_manifest(result: dict[str, Any]) -> str:
    """Return the hash of the manifest of the set that was audited."""
    digest: str = result["made_by"]["inputs"]["synthetic manifest"]
    return digest
