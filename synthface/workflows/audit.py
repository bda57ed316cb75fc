"""Test whether real people can be found again in a synthetic set; say PASS, FAIL or INCONCLUSIVE.

Compares the synthetic faces with the photos the generator was trained on, and with people who were held out at
random (made by 'synthface split') as the control. Exit code 0 is PASS, 1 FAIL, 2 INCONCLUSIVE; without a hold-out, a
placebo and two good recognisers it cannot be PASS. Writes audit.json, report.html (private: real faces) and
report_public.html. A label of the synthetic set leads to a training person through the generator that made it, or by
equal identity names.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthface.core.atomic import atomic_folder
from synthface.core.errors import AuditError, ConfigError
from synthface.core.hashing import sha256_json
from synthface.core.run_record import run_record, to_json, write_json
from synthface.data import Embeddings, FaceSet
from synthface.privacy.config import AuditConfig
from synthface.workflows.compute import Compute, is_first_process
from synthface.workflows.embed import embed_faceset

EXAMPLES = """
synthface audit --synthetic synthetic --train split/train --holdout split/holdout --placebo split/placebo \\
    --recognizers mobilefacenet-ms1m mobilefacenet-casia --out audit
synthface audit --synthetic synthetic --recognizers synthface-small --out first-look
"""
EXIT_CODES = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 2}
RESULT, PRIVATE_PAGE, PUBLIC_PAGE = "audit.json", "report.html", "report_public.html"
_ALIGNED_SIDE = 112

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface audit``.

    Args:
        synthetic: FaceSet to be released.
        recognizers: two or more recognisers of different making, by name or path.
        out: folder to write the result and the reports to.
        train: FaceSet that the generator was trained on.
        holdout: FaceSet of people drawn at random from the same pool, never used.
        placebo: FaceSet of a third, disjoint group of real people.
        gates: the limits; set them before the run.
    """

    synthetic: Path
    recognizers: list[str]
    out: Path
    train: Path | None = None
    holdout: Path | None = None
    placebo: Path | None = None
    gates: AuditConfig = field(default_factory=AuditConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.recognizers)) < len(self.recognizers):
            raise ConfigError("--recognizers names one recogniser twice; give different ones")


def run(options: Options) -> int:
    """Audit, write the folder, print the verdict; the exit code is the verdict."""
    facesets = {
        role: FaceSet.load(path, flag=f"--{role}")
        for role in ("synthetic", "train", "holdout", "placebo")
        if (path := getattr(options, role)) is not None
    }
    check_images(facesets)
    sets = _embed(facesets, options)
    if not is_first_process():
        return 0
    labels = label_map(facesets)
    record = run_record(
        "audit",
        {"gates": to_json(options.gates), "recognizers": options.recognizers},
        seed=options.gates.seed,
        inputs=_provenance(facesets, sets, options.gates),
    )
    result = _result_of_earlier_run(options.out, record)
    if result is None:
        result = _audit(options, facesets, sets, labels, record)
    print(f"{result['verdict']}: {result['claim']}")
    for need in result["needs"]:
        print(f"  - {need}")
    print(f"report: {options.out / PRIVATE_PAGE} (private), {options.out / PUBLIC_PAGE}")
    return EXIT_CODES[result["verdict"]]


def check_images(facesets: dict[str, FaceSet]) -> None:
    """Refuse a photo that is in two of the real sets.

    Raises:
        AuditError: naming the sets and the first such photo.
    """
    seen: dict[str, str] = {}
    for role in ("train", "holdout", "placebo"):
        records = facesets[role].records if role in facesets else ()
        for record in records:
            other = seen.setdefault(record.sha256, role)
            if other != role:
                raise AuditError(
                    f"--{role} {record.path} is also in --{other}; split the photos again so that people are disjoint"
                )


def label_map(facesets: dict[str, FaceSet]) -> dict[str, str] | None:
    """Return the training identity behind each synthetic identity, or None to go by equal names.

    Known where the generator was trained on this very training set: class k is its k-th identity in sorted order, and
    a mixed identity belongs to the heaviest of its parent classes.
    """
    synthetic, train = facesets["synthetic"], facesets.get("train")
    made_by = synthetic.info.get("generator")
    trained_on = made_by.get("trained_on_manifest_sha256") if isinstance(made_by, dict) else None
    if train is None or trained_on != train.manifest_sha256:
        return None
    labels: dict[str, str] = {}
    for record in synthetic.records:
        parent = record.class_index
        if parent is None and record.code:
            weights = record.code["weights"]
            parent = int(record.code["classes"][weights.index(max(weights))])
        if parent is not None and parent < len(train.identities):
            labels.setdefault(record.identity, train.identities[parent])
    return labels


def _embed(facesets: dict[str, FaceSet], options: Options) -> dict[str, dict[str, Embeddings]]:
    """Embed every set; real faces are brought to the resolution of the release first."""
    side = max(record.width for record in facesets["synthetic"].records) if len(facesets["synthetic"]) else 0
    via_size = side if 0 < side < _ALIGNED_SIDE else None
    return {
        role: {
            name: embed_faceset(faceset, name, compute=options, via_size=None if role == "synthetic" else via_size)
            for name in options.recognizers
        }
        for role, faceset in facesets.items()
    }


def _provenance(
    facesets: dict[str, FaceSet], sets: dict[str, dict[str, Embeddings]], gates: AuditConfig
) -> dict[str, str]:
    return {
        **{f"{role} manifest": faceset.manifest_sha256 for role, faceset in facesets.items()},
        **{f"recogniser {name}": str(item.info["recognizer_sha256"]) for name, item in sets["synthetic"].items()},
        "gates": sha256_json(to_json(gates)),
    }


def _result_of_earlier_run(out: Path, record: dict[str, Any]) -> dict[str, Any] | None:
    """Return the result in ``out`` if it is of this very audit.

    Raises:
        ConfigError: something else is there.
    """
    if not out.exists():
        return None
    try:
        existing = json.loads((out / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        existing = {}
    if existing.get("made_by") != to_json(record):
        raise ConfigError(f"--out {out} already exists and is not this audit; give another path or remove it")
    logger.info("%s is already complete: nothing to do", out)
    return dict(existing)


def _audit(
    options: Options,
    facesets: dict[str, FaceSet],
    sets: dict[str, dict[str, Embeddings]],
    labels: dict[str, str] | None,
    record: dict[str, Any],
) -> dict[str, Any]:
    from synthface.privacy import audit
    from synthface.report.audit_page import PairPicture, audit_page

    verdict = audit(
        synthetic=sets["synthetic"],
        train=sets.get("train"),
        holdout=sets.get("holdout"),
        placebo=sets.get("placebo"),
        config=options.gates,
        labels=labels,
    )
    kinds = {role: faceset.kind for role, faceset in facesets.items()}
    result = {"format": "synthface-audit", "version": 1, **verdict.to_json(), "kinds": kinds, "made_by": record}
    pictures: list[PairPicture] = []
    best = verdict.evidence[verdict.recognizers[0]]
    for pair in best.pairs:
        synthetic, train = facesets["synthetic"], facesets["train"]
        pictures.append(
            PairPicture(
                synthetic=synthetic.records[pair.synthetic].identity,
                train=train.records[pair.train].identity,
                synthetic_image=synthetic.read_image(pair.synthetic),
                train_image=train.read_image(pair.train),
                scores=pair.scores,
                same_label=bool(pair.same_label),
            )
        )
    common: dict[str, Any] = {
        "provenance": record["inputs"],
        "versions": record["versions"],
        "remarks": _remarks(kinds),
    }
    with atomic_folder(options.out) as folder:
        write_json(folder / RESULT, result)
        private = audit_page(result, verdict.evidence, pairs=pictures, public=False, **common)
        public = audit_page(result, verdict.evidence, public=True, **common)
        (folder / PRIVATE_PAGE).write_text(private, encoding="utf-8")
        (folder / PUBLIC_PAGE).write_text(public, encoding="utf-8")
    return result


def _remarks(kinds: Mapping[str, str]) -> list[str]:
    remarks = []
    if kinds["synthetic"] != "synthetic":
        remarks.append(
            f"The set audited is a {kinds['synthetic']} FaceSet, not a synthetic one: this is an experiment."
        )
    odd = [role for role, kind in kinds.items() if role != "synthetic" and kind != "real"]
    if odd:
        remarks.append(f"Not real faces, though real ones belong there: {', '.join(odd)}.")
    return remarks
