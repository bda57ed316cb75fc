"""The recogniser that is taught: trained on our synthetic faces alone, with a teacher that has seen real ones.

    python scripts/reproduce_recognizer.py --faces faces --split split --pairs pairs.txt --out reference \
        --to synthface/models

From the generator that ships, and no other source of images, draws many people with few pictures each (a teacher needs
no labels), trains a PatchResNet to follow the teacher's whitened embeddings, and measures it on LFW's pairs: on all of
them, and on those without the people whom the generator was trained on. Writes the recogniser and its card. Whatever is
done already is not done again; --device and --devices go to what computes. With --epochs 22 18 a second training goes
on from where the first ended.
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from reproduction import exit_code, markdown_table, read_json, share, synthface

from synthface.core.hashing import sha256_file
from synthface.core.run_record import write_json
from synthface.models import GENERATOR, STUDENT, shipped_model

TEACHER = "mobilefacenet-ms1m"
# Chosen by single trainings of two to eleven minutes, judged on photos of the generator's training people.
SET = ["--identities", "sampled", "--distinct.fmr", "0", "--psi", "1.5", "--noise-mode", "random", "--seed", "1"]
NETWORK = ["--network", "patchresnet", "--input-size", "96", "--embedding-dim", "128"]
RECIPE = ["--whiten-teacher", "0.25", "--half-teacher", "--half", "--batch", "128", "--augment", "flip"]
RECIPE += ["--optimizer", "muon", "--lr", "0.05", "--weight-decay", "0.01"]


def main() -> int:
    """Generate, train, evaluate, write the card."""
    return exit_code(_reproduce, _arguments())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="all of LFW, by 'synthface prepare'")
    parser.add_argument("--split", type=Path, required=True, help="folder of 'synthface split'")
    parser.add_argument("--pairs", type=Path, required=True, help="LFW's pairs.txt")
    parser.add_argument("--out", type=Path, required=True, help="folder for set, training and evaluations")
    parser.add_argument("--to", type=Path, required=True, help="folder for what ships")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--identities", type=int, default=50_000, help="people drawn")
    parser.add_argument("--per-identity", type=int, default=4, help="pictures of each")
    parser.add_argument(
        "--epochs",
        type=int,
        nargs="+",
        default=[22],
        help="of each training; all but the first go on from the last",
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--devices", type=int, default=1, help="processes that train")
    return parser.parse_args()


def _reproduce(arguments: argparse.Namespace) -> None:
    out = arguments.out
    drawn = out / "faces-to-learn-from"
    compute = ["--device", arguments.device, "--devices", arguments.devices]
    people = ["--classes", f"0-{arguments.identities - 1}", "--per-class", arguments.per_identity]
    synthface("generate", "--generator", shipped_model(GENERATOR), *SET, *people, *compute, "--out", drawn)
    runs = [out / f"student-{k}" for k in range(len(arguments.epochs))]
    for k, (run, epochs) in enumerate(zip(runs, arguments.epochs, strict=True)):
        begin = ["--init", runs[k - 1] / "recognizer.safetensors"] if k else NETWORK
        options = [*begin, *RECIPE, "--teacher", TEACHER, "--epochs", epochs, "--seed", k, *compute]
        synthface("train-recognizer", "--faces", drawn, "--strategy", "transfer", *options, "--out", run)
    scores = {}
    for name, more in (("all", []), ("disjoint", ["--exclude", arguments.split / "train"])):
        evaluated = out / f"student-{name}"
        what = ["--faces", arguments.faces, "--pairs", arguments.pairs, "--allow-missing", *more]
        synthface("evaluate", *what, "--recognizer", runs[-1], "--out", evaluated)
        scores[name] = _figures(read_json(evaluated / "results.json"))
    shutil.copyfile(runs[-1] / "recognizer.safetensors", arguments.to / STUDENT)
    if arguments.json:
        write_json(arguments.json, {"trainings": [read_json(run / "run.json") for run in runs], "pairs": scores})
    card = model_card(arguments, scores, arguments.to / STUDENT)
    (arguments.to / STUDENT).with_suffix(".md").write_text(card, encoding="utf-8")


def _figures(results: dict[str, Any]) -> dict[str, Any]:
    names = ("n_pairs", "accuracy_mean", "tmr_at_fmr_1e-2", "tmr_at_fmr_1e-3", "eer", "auc")
    return {key: value for key, value in results.items() if key.removesuffix("_interval") in names}


def model_card(arguments: argparse.Namespace, scores: dict[str, Any], file: Path) -> str:
    """Return the card of the recogniser in Markdown."""
    from synthface.recognition import load_recognizer

    network = load_recognizer(file).network.config
    images = arguments.identities * arguments.per_identity
    lines = [
        "# Model card: synthface-student",
        "",
        f"`{STUDENT}`: {network.architecture}, {network.side}x{network.side} input, {network.embedding_dim} numbers, "
        f"{file.stat().st_size / 1e6:.1f} MB, SHA-256 `{sha256_file(file)}`.",
        "",
        f"**Made by** `scripts/reproduce_recognizer.py`, which wrote this card, in {arguments.devices} "
        f"{'process' if arguments.devices == 1 else 'processes'}: "
        f"{' and then '.join(map(str, arguments.epochs))} epochs of {images:,} images of {arguments.identities:,} "
        f"people sampled from the generator that ships (psi 1.5); it follows the whitened embeddings of {TEACHER} "
        "(strategy transfer: labels unused).",
        "",
        "**It has never seen a real photo; its teacher has**, of tens of thousands of people, collected from the web. "
        "What the teacher knows of them may have come over. Its weights are published for research use, and so is "
        "this student meant.",
        "",
        "**Accuracy** on LFW's pairs, 95 % intervals by identity. The generator was trained on none of the people of "
        "the second row; the teacher may know some of either.",
        "",
        markdown_table(
            ["pairs", "n", "accuracy", "TMR at FMR 1e-2", "TMR at FMR 1e-3", "EER"],
            [_row("all", scores["all"]), _row("without the generator's training people", scores["disjoint"])],
        ),
        "**Uses.** A first look, tests, teaching, comparing ways of training. Not for recognising anybody.",
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, found: dict[str, Any]) -> list[str]:
    shares = ("accuracy_mean", "tmr_at_fmr_1e-2", "tmr_at_fmr_1e-3", "eer")
    return [name, f"{found['n_pairs']:,}", *(share(found[key], found.get(f"{key}_interval")) for key in shares)]


if __name__ == "__main__":
    sys.exit(main())
