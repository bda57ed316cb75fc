"""Check cleaning where the truth is known: put training photos into a synthetic set, and see what 'clean' leaves.

Takes some classes of a synthetic FaceSet, replaces a share of their images by photos of as many training people (every
second one mirrored, cropped and saved as JPEG of quality 30), and keeps the records, so that the generator can make the
images again. Then runs the commands a user would: 'synthface audit' by one recogniser, 'synthface clean' with another
sealed, which audits the result. Written are counts and verdicts alone: how many of the photos were taken out, how many
images besides, how many photos are left, and what each audit said. Run again, it goes on where it was: every step
leaves its folder. Exit code 1 if a photo that was put in is left, or a leak is still shown.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from synthface.core.errors import SynthfaceError
from synthface.core.run_record import run_record, write_json
from synthface.core.seeds import numpy_generator
from synthface.data import FaceSet, FaceSetWriter
from synthface.data.images import resize_image
from synthface.data.planting import recompressed
from synthface.metrics.intervals import clopper_pearson
from synthface.privacy import AuditConfig
from synthface.workflows import audit, clean
from synthface.workflows.auditing.inputs import release_side

ROLES = ("train", "holdout", "placebo")
CONFIDENCE = 0.9  # two-sided: each end holds at 95 %


def main() -> int:
    """Run the steps that are not done yet and sum up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("synthetic", type=Path, help="FaceSet made by 'synthface generate'")
    parser.add_argument("split", type=Path, help="folder with train, holdout and placebo")
    parser.add_argument("--generator", type=Path, help="makes what is taken out again; without it, it is dropped")
    parser.add_argument("--out", type=Path, required=True, help="folder for the sets, the audits and clean.json")
    parser.add_argument("--recognizer", default="mobilefacenet-ms1m", help="decides what goes")
    parser.add_argument("--sealed", default="mobilefacenet-casia", help="kept apart, and asked afterwards")
    parser.add_argument("--drop", choices=["classes", "images"], default="images")
    parser.add_argument("--share", type=float, default=0.05, help="share of the images to replace")
    parser.add_argument("--classes", type=int, default=100, help="classes to take, the first ones")
    parser.add_argument("--per-class", type=int, default=10, help="images of each to take, the first ones")
    parser.add_argument("--permutations", type=int, default=9999)
    arguments = parser.parse_args()
    try:
        result = check(arguments)
    except SynthfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    write_json(arguments.out / "clean.json", result)
    print(json.dumps({key: result[key] for key in ("replaced", "taken_out", "left")}, indent=2))
    return int(result["left"]["replaced"] > 0 or result["audits"][-1]["verdict"] == "FAIL")


def check(arguments: argparse.Namespace) -> dict[str, Any]:
    """Spoil, audit, clean and audit again; return the counts."""
    synthetic = FaceSet.load(arguments.synthetic, kinds=["synthetic"])
    real = {role: arguments.split / role for role in ROLES}
    spoiled, replaced = spoil(synthetic, FaceSet.load(real["train"]), arguments)
    folders = [arguments.out / "audit-before", arguments.out / "audit-after"]
    gates = AuditConfig(permutations=arguments.permutations)
    audit.run(
        audit.Options(
            synthetic=spoiled.root, **real, recognizers=[arguments.recognizer], gates=gates, out=folders[0]
        )
    )  # fmt: skip
    clean.run(
        clean.Options(
            faceset=spoiled.root,
            audit=folders[0],
            drop=arguments.drop,
            regenerate=arguments.generator is not None,
            generator=arguments.generator,
            sealed=arguments.sealed,
            **real,
            report=folders[1],
            out=arguments.out / "cleaned",
        )
    )
    cleaned = FaceSet.load(arguments.out / "cleaned")
    settings = {key: value for key, value in vars(arguments).items() if not isinstance(value, Path)}
    record = run_record("check_clean", settings, inputs={"spoiled": spoiled.manifest_sha256})
    return {"made_by": record, "audits": list(map(told, folders)), **counts(spoiled, cleaned, replaced)}


def spoil(synthetic: FaceSet, train: FaceSet, arguments: argparse.Namespace) -> tuple[FaceSet, set[str]]:
    """Write the set with photos among its images; return it and the paths of these."""
    rng = numpy_generator(0, "spoil")
    rows = [
        row
        for label in range(min(arguments.classes, len(synthetic.identities)))
        for row in np.flatnonzero(synthetic.labels == label)[: arguments.per_class].tolist()
    ]
    places = np.sort(rng.permutation(rows)[: round(arguments.share * len(rows))]).tolist()
    order = rng.permutation(len(train))
    people = order[np.sort(np.unique(train.labels[order], return_index=True)[1])]  # one photo of each, at random
    photos = dict(zip(places, people.tolist(), strict=False))
    side = release_side(synthetic)
    settings = {"rows": len(rows), "photos": len(photos)}
    record = run_record("spoil", settings, seed=0, inputs={"synthetic": synthetic.manifest_sha256})
    extra = {"generator": synthetic.info["generator"]}
    with FaceSetWriter(arguments.out / "spoiled", kind="synthetic", record=record, extra=extra) as writer:
        for row in rows if not writer.is_complete else ():
            item = synthetic.records[row]
            if writer.done(item.path):
                continue
            if row not in photos:
                writer.add_file(item, synthetic.root / item.path)
                continue
            image = train.read_image(photos[row])
            image = recompressed(image, rng) if places.index(row) % 2 else image
            line = item.to_json()
            path, identity = line.pop("path"), line.pop("identity")
            del line["sha256"]
            writer.add(path, resize_image(image, side, side), identity=identity, **line)
        spoiled = FaceSet.load(writer.out) if writer.is_complete else writer.finish()
    return spoiled, {synthetic.records[row].path for row in photos}


def told(folder: Path) -> dict[str, Any]:
    """Return what an audit said, without names of people or files."""
    result = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    outcome = {True: "passed", False: "failed", None: "undecided"}
    return {
        "verdict": result["verdict"],
        "claim": result["claim"],
        "recognizers": result["recognizers"],
        "sealed": result["sealed"],
        "rounds": result["remediation"]["rounds"] if result["remediation"] else 1,
        "flagged_classes": len(result["flagged"]),
        "flagged_images": len(result["flagged_images"]),
        "gates": {name: outcome[gate["passed"]] for name, gate in result["gates"].items() if gate["applicable"]},
        "residual_risk_intervals": measured(result["gates"]["A2"], "residual_risk", "interval"),
        "hub_shares": measured(result["gates"]["V5"], "normed_hub_share", "value"),
    }


def measured(gate: dict[str, Any], key: str, field: str) -> dict[str, Any]:
    """Return a field of the gate's checks of that key, for each recogniser."""
    return {check["recognizer"]: check[field] for check in gate["checks"] if check["key"] == key}


def counts(spoiled: FaceSet, cleaned: FaceSet, replaced: set[str]) -> dict[str, Any]:
    """Return what was put in, taken out and left.

    Args:
        spoiled: the set with training photos in it.
        cleaned: what became of it.
        replaced: paths of the photos.
    """
    kept = {record.path for record in cleaned.records} & {record.path for record in spoiled.records}
    before = {record.path: record.sha256 for record in spoiled.records}
    same = {record.path for record in cleaned.records if record.path in kept and record.sha256 == before[record.path]}
    gone = set(before) - same
    found = len(replaced & gone)
    return {
        "images": len(spoiled),
        "replaced": len(replaced),
        "taken_out": {
            "images": len(gone),
            "replaced": found,
            "replaced_interval": list(clopper_pearson(found, len(replaced), CONFIDENCE)),
            "others": len(gone - replaced),
        },
        "left": {
            "images": len(cleaned),
            "classes": cleaned.n_identities,
            "made_again": len(cleaned) - len(same),
            "replaced": len(replaced & same),
        },
    }


if __name__ == "__main__":
    sys.exit(main())
