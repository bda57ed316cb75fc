"""SFace's three strategies on a generated set, beside the same number of real photos.

    synthface generate --generator runs/gan --classes 0-299 --per-class 30 --seed 0 --out synthetic
    python scripts/compare_strategies.py --synthetic synthetic --real split/train --test split/holdout split/placebo \
        --teacher mobilefacenet-ms1m --out strategies

Trains a student by classification, transfer and combined, once a seed, on the generated set and on as many of the real
photos, drawn at random; where there are fewer real ones, also on as few generated ones. Every training sees about as
many images (--images-seen), so that small sets are seen more often. Accuracy is that of verification pairs of --test's
people, 300 mated and 300 non-mated in each of ten folds, nobody in two folds; they must be neither in the real set nor
in the generator's training. Intervals resample people. The last epoch is the result.

Every training is a folder of ``synthface train-recognizer`` below --out; stopped at any moment, the command goes on.
Writes strategies.json and strategies.md. --quick is a smoke test.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from recognition_runs import Benchmark, accuracy_cells, exit_code, percent, publish, size_of, summary_or_failure, train

from synthface.core.hashing import sha256_json
from synthface.core.seeds import numpy_generator
from synthface.data import FaceSet, FaceSetWriter
from synthface.workflows.progress import track

STRATEGIES = ("classification", "transfer", "combined")
TARGETS = {"classification": 0.75, "transfer": 0.96, "combined": 0.96}


def main() -> int:
    """Train, score, print; exit code 1 where the generated set misses a target."""
    return exit_code(_compare, _arguments())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synthetic", type=Path, required=True, help="generated FaceSet")
    parser.add_argument("--real", type=Path, help="real FaceSet; left out, only the generated set is measured")
    parser.add_argument("--test", type=Path, nargs="+", required=True, help="FaceSets of other people")
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=STRATEGIES)
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--network", default="patchresnet", help="the student, as train-recognizer's --network")
    parser.add_argument("--side", type=int, default=64, help="pixels a side that the student sees")
    parser.add_argument("--width", type=float, default=1.0, help="factor on the network's channels")
    parser.add_argument("--embedding-dim", type=int, default=128, help="of the teacher, so of the student")
    parser.add_argument("--whiten-teacher", type=float, default=0.25, help="as in train-recognizer")
    parser.add_argument("--half-teacher", action="store_true", help="the teacher embeds in bfloat16")
    parser.add_argument("--images-seen", type=int, default=150_000, help="in each training, over its epochs")
    parser.add_argument("--optimizer", default="muon")
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--weight-decay", type=float, default=0.02)
    parser.add_argument("--augment", default="flip")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--loss", default="cosface")
    parser.add_argument("--compile", action="store_true", help="pays in trainings of more than a few minutes")
    parser.add_argument("--no-half", action="store_true", help="train in float32")
    parser.add_argument("--quick", action="store_true", help="one epoch, one seed")
    return parser.parse_args()


def _compare(arguments: argparse.Namespace) -> int:
    benchmark = Benchmark(tuple(arguments.test))
    sets = _sets(arguments)
    for faces in sets.values():
        benchmark.check_disjoint(faces)
    seeds = arguments.seeds[:1] if arguments.quick else arguments.seeds
    jobs = [(name, strategy, seed) for name in sets for strategy in arguments.strategies for seed in seeds]
    runs: dict[tuple[str, str], list[Path]] = {}
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for name, strategy, seed in track(jobs, description="train", unit="run"):
        epochs = 1 if arguments.quick else max(1, round(arguments.images_seen / len(sets[name])))
        settings = _settings(arguments, strategy) | {"faces": sets[name].root, "seed": seed, "epochs": epochs}
        key = sha256_json({key: str(value) for key, value in settings.items()})[:8]
        run = arguments.out / "runs" / f"{name.replace(' ', '-')}-{strategy}-{seed}-{key}"
        found.setdefault((name, strategy), []).append(train(**settings, out=run))
        runs.setdefault((name, strategy), []).append(run)
    rows = []
    for (name, strategy), folders in runs.items():
        row = {"set": name, "strategy": strategy, "images": len(sets[name]), "people": len(sets[name].identities)}
        failed = [one["failed"] for one in found[name, strategy] if "failed" in one]
        if failed:
            rows.append(row | {"failed": failed[0]})
            continue
        row |= {"epochs": found[name, strategy][0]["epochs"]}
        row |= {"seconds": sum(one["seconds"] for one in found[name, strategy]) / len(folders)}
        rows.append(row | summary_or_failure(benchmark, folders))
    size = size_of(arguments.side, arguments.width, arguments.embedding_dim, network=arguments.network)
    # Hashes name the sets: paths would say nothing elsewhere.
    paths = ("synthetic", "real", "test", "out")
    result = {"settings": {key: value for key, value in vars(arguments).items() if key not in paths}}
    result["inputs"] = {name: faces.manifest_sha256 for name, faces in sets.items()}
    result["inputs"]["test"] = [faces.manifest_sha256 for faces in benchmark.facesets]
    result["generated"] = _how_generated(sets["synthetic"])
    result |= {"size": size, "rows": rows}
    publish(arguments.out, "strategies", result, markdown(rows, size, arguments))
    met = [row.get("accuracy", 0.0) >= TARGETS[row["strategy"]] for row in rows if row["set"] == "synthetic"]
    return int(not all(met))


def _settings(arguments: argparse.Namespace, strategy: str) -> dict[str, Any]:
    return {
        "strategy": strategy,
        "teacher": None if strategy == "classification" else arguments.teacher,
        "whiten_teacher": None if strategy == "classification" else arguments.whiten_teacher,
        "half_teacher": arguments.half_teacher and strategy != "classification",
        "loss": arguments.loss,
        "network": arguments.network,
        "input_size": arguments.side,
        "width": arguments.width,
        "embedding_dim": arguments.embedding_dim,
        "batch": arguments.batch,
        "optimizer": arguments.optimizer,
        "lr": arguments.lr,
        "weight_decay": arguments.weight_decay,
        "augment": arguments.augment,
        "compile": arguments.compile,
        "half": not arguments.no_half,
    }


def _sets(arguments: argparse.Namespace) -> dict[str, FaceSet]:
    synthetic = FaceSet.load(arguments.synthetic, flag="--synthetic")
    sets = {"synthetic": synthetic}
    if arguments.real is not None:
        real = FaceSet.load(arguments.real, flag="--real")
        sets["real"] = _some(real, arguments.out / "real", len(synthetic))
        if len(real) < len(synthetic):
            sets["synthetic, as many"] = _some(synthetic, arguments.out / "synthetic", len(real))
    return sets


def _how_generated(faces: FaceSet) -> dict[str, Any]:
    """Return what a generated set was drawn with; its hash alone would tell nobody else."""
    info = faces.info
    known = ("per_class", "psi", "noise_mode", "identities", "distinct")
    config = {key: value for key, value in info["made_by"].get("config", {}).items() if key in known}
    return {"generator_sha256": info.get("generator", {}).get("sha256"), **config}


def _some(faces: FaceSet, out: Path, n_images: int) -> FaceSet:
    """Return a FaceSet of so many of the images, drawn at random; all of them where there are no more."""
    if n_images >= len(faces):
        return faces
    record = {
        "command": "compare_strategies",
        "config": {"images": n_images},
        "inputs": {"faces": faces.manifest_sha256},
    }
    with FaceSetWriter(out, kind=faces.kind, record=record) as writer:
        drawn = numpy_generator(0, "as many").choice(len(faces), n_images, replace=False)
        for row in sorted(drawn) if not writer.is_complete else ():
            item = faces.records[row]
            if not writer.done(item.path):
                writer.add_file(item, faces.root / item.path)
        return writer.finish()


def markdown(rows: list[dict[str, Any]], size: dict[str, float], arguments: argparse.Namespace) -> str:
    """Return the table."""
    lines = [
        f"Student: {arguments.network} x {arguments.width:g} at {arguments.side} px, {size['parameters']:,} "
        f"parameters, {size['flops'] / 1e6:.0f} MFLOP an image, batches of {arguments.batch}, "
        f"{arguments.optimizer} at a rate of {arguments.lr:g}, augmentation {arguments.augment}, {arguments.loss} "
        f"where there are labels. Teacher {arguments.teacher}, whitened by "
        f"{arguments.whiten_teacher:g}; its own training people are not left out of the pairs.",
        "",
        "| set | images | people | strategy | epochs | accuracy % | 95 % interval | seeds | AUC | target % | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "failed" in row:
            lines.append(
                f"| {row['set']} | {row['images']:,} | {row['people']:,} | {row['strategy']} | {row['failed']} |"
            )
            continue
        target = percent(TARGETS[row["strategy"]]) if row["set"] == "synthetic" else ""
        lines.append(
            f"| {row['set']} | {row['images']:,} | {row['people']:,} | {row['strategy']} | "
            f"{row['epochs']} | {accuracy_cells(row)} | "
            f"{row['auc']:.3f} | {target} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
