"""Make a marked, hashed copy of a synthetic FaceSet that passed its audit.

Every image says in its XMP data that it was made by a trained algorithm, and which set it belongs to. The release is
itself a FaceSet, with a card and SHA256SUMS beside the manifest. Without a PASS that belongs to this very set,
nothing is released, unless the risk is acknowledged; the reason then stands on the card.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthface.core.errors import AuditError, ConfigError
from synthface.core.hashing import sha256_bytes, sha256_file
from synthface.core.run_record import run_record
from synthface.workflows.progress import track

if TYPE_CHECKING:
    from synthface.data import FaceRecord, FaceSet

EXAMPLES = """
synthface release synthetic --audit audit --out release
synthface release synthetic --out release --acknowledge-risk "internal test, will not leave the building"
"""
AUDIT_FILE = "audit.json"
PUBLIC_REPORT = "report_public.html"


@dataclass(frozen=True)
class Options:
    """Options of ``synthface release``.

    Args:
        faceset: synthetic FaceSet to release.
        out: folder of the release.
        audit: folder that 'synthface audit' wrote for this very set.
        format: folders is one folder an identity with PNG images.
        acknowledge_risk: release without a PASS, for this reason, which is printed on the card.
    """

    faceset: Path = field(metadata={"positional": True})
    out: Path
    audit: Path | None = None
    format: Literal["folders"] = "folders"
    acknowledge_risk: str | None = None

    def __post_init__(self) -> None:
        if self.acknowledge_risk is not None and len(self.acknowledge_risk.strip()) < 10:
            raise ConfigError("--acknowledge-risk: give the reason in a sentence; it is printed on the card")


@dataclass(frozen=True)
class Clearance:
    """Why a set may be released.

    Attributes:
        verdict: of the audit, or "not audited".
        claim: the audit's one-sentence claim.
        acknowledged: the reason given for going on without a PASS.
        audit_sha256: hash of the audit.json.
    """

    verdict: str
    claim: str
    acknowledged: str | None
    audit_sha256: str | None


def run(options: Options) -> None:
    """Check the audit, then copy, mark and hash."""
    from synthface.data import FaceSet, FaceSetWriter
    from synthface.data.marks import encode_marked_png

    faceset = FaceSet.load(options.faceset, kinds=("synthetic", "inverted"), flag="FACESET")
    clearance = clear(faceset, options.audit, options.acknowledge_risk)
    set_id = faceset.manifest_sha256[:16]
    decides = {"format": options.format, "clearance": vars(clearance)}
    record = run_record("release", decides, inputs={"faceset": faceset.manifest_sha256})
    extra = {**{key: faceset.info[key] for key in ("generator",) if key in faceset.info}, "set_id": set_id}
    with FaceSetWriter(
        options.out, kind=faceset.info["kind"], record=record, extra={**extra, "released": True}
    ) as writer:
        if not writer.is_complete:
            sums: list[str] = []
            for index in track(range(len(faceset)), description="marking", total=len(faceset)):
                line = faceset.records[index].to_json()
                path, identity = line.pop("path"), line.pop("identity")
                content = encode_marked_png(faceset.read_image(index), set_id)
                sums.append(f"{sha256_bytes(content)}  {path}")
                if not writer.done(path):
                    del line["sha256"]
                    writer.add(path, content, identity=identity, **line)
            files = {"README.md": card(faceset, clearance, set_id).encode()}
            if options.audit is not None and (options.audit / PUBLIC_REPORT).is_file():
                files[PUBLIC_REPORT] = (options.audit / PUBLIC_REPORT).read_bytes()
            sums += [f"{sha256_bytes(content)}  {name}" for name, content in files.items()]
            files["SHA256SUMS"] = ("\n".join(sorted(sums, key=lambda line: line[66:])) + "\n").encode()
            writer.finish(files)
    print(f"{len(faceset):,} images released: {options.out}; check it with 'synthface verify {options.out}'")


def clear(faceset: "FaceSet", audit: Path | None, acknowledged: str | None) -> Clearance:
    """Return why the set may be released.

    Raises:
        AuditError: there is no PASS that belongs to it, and the risk was not acknowledged.
    """
    verdict, claim, digest = "not audited", "No audit was made.", None
    if audit is not None:
        result = _read_audit(audit)
        if result["made_by"]["inputs"].get("synthetic manifest") != faceset.manifest_sha256:
            raise AuditError(f"--audit {audit} belongs to another set than {faceset.root}; audit this one")
        verdict, claim, digest = result["verdict"], result["claim"], sha256_file(audit / AUDIT_FILE)
    if verdict != "PASS" and acknowledged is None:
        raise AuditError(
            f"{faceset.root} may not be released: {verdict}. Pass the audit (synthface audit, then --audit DIR), "
            'or take the risk with --acknowledge-risk "REASON"'
        )
    return Clearance(verdict, claim, acknowledged if verdict != "PASS" else None, digest)


def _read_audit(folder: Path) -> dict[str, Any]:
    path = folder / AUDIT_FILE
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        return {key: result[key] for key in ("verdict", "claim", "made_by")}
    except (OSError, ValueError, KeyError, TypeError):
        raise AuditError(f"--audit {folder} holds no valid {AUDIT_FILE}; make it with 'synthface audit'") from None


def card(faceset: "FaceSet", clearance: Clearance, set_id: str) -> str:
    """Return the release's card in Markdown."""
    first: FaceRecord = faceset.records[0]
    risk = f"\n**Released without a PASS.** Reason given: {clearance.acknowledged}\n" if clearance.acknowledged else ""
    return f"""# Synthetic face set {set_id}

The people in these images do not exist. {len(faceset):,} images of {len(faceset.identities):,} synthetic identities,
{first.width}x{first.height} pixels, made by a trained generator.

## Identity-leakage audit

Verdict: **{clearance.verdict}**. {clearance.claim}
{risk}
The audit measures what its recognisers can find. It is not a legal opinion, and it does not test whether attributes
of the training people can be inferred.

## Marks and hashes

Each image carries IPTC `DigitalSourceType` = `trainedAlgorithmicMedia` and the set's id in its XMP data.
`SHA256SUMS` covers every file; `manifest.jsonl` says for each image which generator, class or identity code, seed,
psi and noise mode made it.

## Use

Made for training and testing face recognition without the faces of people who did not agree to it. Not for
impersonation, for training detectors of a person's attributes, or as evidence of anybody's appearance.
"""
