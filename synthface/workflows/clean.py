"""Take out of a synthetic set what its audit flagged, or make it again, and audit the result afresh.

The flags of the given audit decide what goes; the sealed recogniser must have had no part in it, and then judges the
result together with the others (gate A8), against fresh planted leaks. cleaning.jsonl in the new set holds every step
with its hashes; the set's record counts the audits against each hold-out, of which there are at most three: each
uses up some of it. Exit code 0 is PASS, 1 FAIL, 2 INCONCLUSIVE (also where the real sets are not given, so that
nothing was audited again).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from synthface.core.errors import AuditError, ConfigError, WeightsError
from synthface.core.hashing import canonical_json, sha256_bytes
from synthface.core.run_record import run_record
from synthface.data import FaceRecord, FaceSet, FaceSetWriter
from synthface.workflows.auditing.processes import fabric_of, first_process_first
from synthface.workflows.auditing.regenerate import regenerate
from synthface.workflows.auditing.result import AuditResult, read_audit
from synthface.workflows.compute import Compute, is_first_process

EXAMPLES = """
synthface clean synthetic --audit audit --sealed mobilefacenet-casia --out cleaned \\
    --train split/train --holdout split/holdout --placebo split/placebo
synthface clean synthetic --audit audit --drop images --regenerate --generator runs/gan --out cleaned
"""
LOG = "cleaning.jsonl"
_NOT_AUDITED = 2  # INCONCLUSIVE


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface clean``.

    Args:
        faceset: synthetic FaceSet that was audited.
        audit: folder that 'synthface audit' wrote for this very set.
        out: FaceSet to write.
        drop: classes takes out every class that is flagged or has a flagged image; images takes out flagged images,
            and flagged classes as a whole.
        regenerate: make what is taken out again, with new seeds.
        generator: generator that made the set, for --regenerate.
        sealed: recogniser that had no part in the audit, to judge the result.
        train: FaceSet that the generator was trained on, to audit the result.
        holdout: FaceSet of people drawn at random from the same pool, never used.
        placebo: FaceSet of a third, disjoint group of real people.
        train_other: FaceSet of other photos of the training people, as for the audit.
        report: folder for the audit of the result; default is OUT with -audit added.
    """

    faceset: Path = field(metadata={"positional": True})
    audit: Path
    out: Path
    drop: Literal["classes", "images"] = "classes"
    regenerate: bool = False
    generator: Path | None = None
    sealed: str | None = None
    train: Path | None = None
    holdout: Path | None = None
    placebo: Path | None = None
    train_other: Path | None = None
    report: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.regenerate and self.generator is None:
            raise ConfigError("--regenerate needs --generator, the one that made the set")
        if self.generator is not None and not self.regenerate:
            raise ConfigError("--generator is for --regenerate; give both or neither")

    @property
    def audits_again(self) -> bool:
        """Whether the real sets are given, to audit the result."""
        return self.train is not None and self.holdout is not None


def run(options: Options) -> int:
    """Clean, then audit what is left."""
    faceset = FaceSet.load(options.faceset, kinds=("synthetic", "inverted"), flag="FACESET")
    result = read_audit(options.audit)
    check_allowed(faceset, result, options.sealed, audits_again=options.audits_again)
    taken = choose(faceset, result, options.drop)
    with first_process_first(fabric_of(options)):  # the others audit what the first one writes
        if is_first_process():
            _write(faceset, result, taken, options)
    return _audit_again(result, options)


def check_allowed(faceset: FaceSet, result: AuditResult, sealed: str | None, *, audits_again: bool) -> None:
    """Refuse to clean on a foreign audit, by the sealed recogniser, or once too often.

    Raises:
        AuditError: any of these.
        WeightsError: the sealed recogniser, which is to audit here and now, is not there.
    """
    if result.synthetic_sha256 != faceset.manifest_sha256:
        raise AuditError(f"--audit {result.folder} belongs to another set than {faceset.root}; audit this one")
    if sealed is not None and _had_a_part(faceset, result, sealed, needed=audits_again):
        raise AuditError(
            f"--sealed {sealed} has had a part in what was flagged; seal another, or audit without it first"
        )
    audits = audits_of(faceset, result)
    if audits >= result.config.max_rounds:
        raise AuditError(
            f"{faceset.root} and the sets it comes from were audited {audits} times against this hold-out, the most "
            f"that is allowed; put other people aside, train without them and start again"
        )


def _had_a_part(faceset: FaceSet, result: AuditResult, recognizer: str, *, needed: bool) -> bool:
    """Say whether a recogniser decided what went, under this name or, by its weights, under another."""
    from synthface.recognition.catalogue import find_weights

    before = faceset.info.get("remediation", {})
    names = {*result.recognizers, *result.given, *before.get("used_recognizers", [])}
    if recognizer in names:
        return True
    try:
        weights = find_weights(recognizer, flag="--sealed")
    except WeightsError:
        if needed:
            raise
        return False  # another machine has it, and its audit compares the weights
    return weights.name in names or weights.sha256 in {*result.weights, *before.get("used_weights", [])}


def audits_of(faceset: FaceSet, result: AuditResult) -> int:
    """Return how often the set and those it was cleaned from were audited against the hold-out of this audit."""
    before: dict[str, int] = faceset.info.get("remediation", {}).get("audits", {})
    return int(before.get(result.holdout_sha256, 0)) + 1


def choose(faceset: FaceSet, result: AuditResult, drop: str) -> dict[str, str]:
    """Return why each image that has to go has to, by its path.

    Raises:
        AuditError: nothing is flagged, or nothing would be left.
    """
    classes = dict.fromkeys(result.flagged_classes, "class flagged")
    images = dict(result.flagged_images)
    if drop == "classes":
        for record in faceset.records:
            if record.path in images:
                classes.setdefault(record.identity, "class of a flagged image")
    taken = {
        record.path: images.get(record.path) or classes[record.identity]
        for record in faceset.records
        if record.path in images or record.identity in classes
    }
    if not taken:
        raise AuditError(f"--audit {result.folder} flags no class and no image of {faceset.root}: nothing to take out")
    if len(taken) == len(faceset):
        raise AuditError(
            f"--audit {result.folder} flags all of {faceset.root}; no set is left, train another generator"
        )
    return taken


def _write(faceset: FaceSet, result: AuditResult, taken: dict[str, str], options: Options) -> None:
    settings = {"drop": options.drop, "regenerate": options.regenerate, "sealed": options.sealed}
    audits = audits_of(faceset, result)
    record = run_record("clean", settings, inputs={"faceset": faceset.manifest_sha256, "audit": result.sha256})
    extra = {key: faceset.info[key] for key in ("generator",) if key in faceset.info}
    with FaceSetWriter(options.out, kind=faceset.kind, record=record, extra=extra) as writer:
        if writer.is_complete:
            return
        made: dict[str, FaceRecord] = {}
        if options.generator is not None:
            removed = [item for item in faceset.records if item.path in taken]
            for item, content in regenerate(removed, options.generator, audits, options):
                made[item.path] = item
                if not writer.done(item.path):
                    writer.add_record(item, content)
        for item in faceset.records:
            if item.path not in taken and not writer.done(item.path):
                writer.add_file(item, faceset.root / item.path)
        log = cleaning_log(faceset, result, taken, made, {"audits": audits, **settings})
        before = faceset.info.get("remediation", {})
        writer.info["remediation"] = {
            "audits": {**before.get("audits", {}), result.holdout_sha256: audits},
            "used_recognizers": sorted({*before.get("used_recognizers", []), *result.recognizers}),
            "used_weights": sorted({*before.get("used_weights", []), *result.weights}),
            "sealed": options.sealed,
            "log_sha256": sha256_bytes(log),
        }
        cleaned = writer.finish({LOG: log})
    print(
        f"{len(taken):,} images taken out, {len(made):,} made again; {len(cleaned):,} of "
        f"{cleaned.n_identities:,} identities left: {options.out}"
    )


def cleaning_log(
    faceset: FaceSet,
    result: AuditResult,
    taken: dict[str, str],
    made: dict[str, FaceRecord],
    settings: dict[str, Any],
) -> bytes:
    """Return the log of this round after those of earlier ones.

    Args:
        faceset: the set that was cleaned.
        result: the audit that flagged.
        taken: why each image went, by path.
        made: records of the images made again, by path.
        settings: how it was done.
    """
    earlier = faceset.root / LOG
    inputs = {"faceset": faceset.manifest_sha256, "audit": result.sha256, "holdout": result.holdout_sha256}
    lines: list[dict[str, Any]] = [{"step": "clean", **inputs, "recognizers": list(result.recognizers), **settings}]
    for record in faceset.records:
        if record.path in taken:
            lines.append({"step": "take out", "path": record.path, "sha256": record.sha256, "why": taken[record.path]})
        if record.path in made:
            again = made[record.path]
            lines.append({"step": "make again", "path": again.path, "sha256": again.sha256, "seed": again.seed})
    text = "".join(canonical_json(line) + "\n" for line in lines).encode()
    return (earlier.read_bytes() if earlier.is_file() else b"") + text


def _audit_again(result: AuditResult, options: Options) -> int:
    from synthface.workflows import audit

    if not options.audits_again:
        if is_first_process():
            print("INCONCLUSIVE: not audited again; give --train, --holdout and --placebo, or run 'synthface audit'")
        return _NOT_AUDITED
    return audit.run(
        audit.Options(
            synthetic=options.out,
            train=options.train,
            holdout=options.holdout,
            placebo=options.placebo,
            train_other=options.train_other,
            recognizers=[*result.given, *([options.sealed] if options.sealed else [])],
            out=options.report or options.out.with_name(options.out.name + "-audit"),
            gates=result.config,
            device=options.device,
            devices=options.devices,
            nodes=options.nodes,
        )
    )
