"""A recogniser of few bits, as in QuantFace: rounded, and taught by its float self on faces of nobody.

    python scripts/reproduce_few_bits.py --faces faces --split split --pairs pairs.txt --out few-bits

Generates faces by what ships, and for each number of bits starts from a recogniser's own weights and follows its
embeddings of these faces, once with weights that stay (ranges of activations and statistics of batch norms are
measured on these faces) and once learning. Measures each on LFW's pairs without the generator's training people.
Whatever is done already is not done again.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from reproduction import exit_code, markdown_table, read_json, share, synthface

from synthface.core.run_record import write_json
from synthface.models import GENERATOR, shipped_model

SET = ["--identities", "sampled", "--distinct.fmr", "0", "--psi", "1.5", "--noise-mode", "random", "--seed", "3"]
TRAINING = ["--strategy", "transfer", "--batch", "128", "--augment", "flip"]
MEASURED_ONLY = 1e-9  # a learning rate at which no weight moves by a level


def main() -> int:
    """Generate, round, evaluate, print the table."""
    return exit_code(_reproduce, _arguments())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="all of LFW, by 'synthface prepare'")
    parser.add_argument("--split", type=Path, required=True, help="folder of 'synthface split'")
    parser.add_argument("--pairs", type=Path, required=True, help="LFW's pairs.txt")
    parser.add_argument("--out", type=Path, required=True, help="folder for set, trainings and evaluations")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--recognizer", default="synthface-student", help="what is rounded, and what teaches")
    parser.add_argument("--bits", type=int, nargs="+", default=[8, 4, 3])
    parser.add_argument("--identities", type=int, default=2_000, help="people drawn, four pictures each")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--devices", type=int, default=1)
    return parser.parse_args()


def _reproduce(arguments: argparse.Namespace) -> None:
    out, compute = arguments.out, ["--device", arguments.device, "--devices", arguments.devices]
    drawn, people = out / "faces", ["--classes", f"0-{arguments.identities - 1}", "--per-class", 4]
    synthface("generate", "--generator", shipped_model(GENERATOR), *SET, *people, *compute, "--out", drawn)
    found = [{"bits": 32, "taught": False, **_scores(arguments, arguments.recognizer, out / "float")}]
    for bits in arguments.bits:
        for taught in (False, True):
            run = out / f"{bits}-bits{'' if taught else '-measured'}"
            start = ["--init", arguments.recognizer, "--teacher", arguments.recognizer, "--bits", bits]
            how = ["--epochs", arguments.epochs if taught else 1, "--lr", arguments.lr if taught else MEASURED_ONLY]
            synthface("train-recognizer", "--faces", drawn, *TRAINING, *start, *how, *compute, "--out", run)
            scores = _scores(arguments, run, run.with_name(f"{run.name}-pairs"))
            size = (run / "recognizer.safetensors").stat().st_size
            found.append({"bits": bits, "taught": taught, "bytes": size, **scores})
    if arguments.json:
        write_json(arguments.json, {"recognizer": arguments.recognizer, "rows": found})
    heads = ["bits", "weights learn", "accuracy", "TMR at FMR 1e-2", "EER", "file"]
    print(markdown_table(heads, [_row(each) for each in found]))


def _scores(arguments: argparse.Namespace, recognizer: object, evaluated: Path) -> dict[str, Any]:
    what = ["--faces", arguments.faces, "--pairs", arguments.pairs, "--exclude", arguments.split / "train"]
    synthface("evaluate", *what, "--allow-missing", "--recognizer", recognizer, "--out", evaluated)
    results = read_json(evaluated / "results.json")
    names = ("n_pairs", "accuracy_mean", "tmr_at_fmr_1e-2", "eer")
    return {key: value for key, value in results.items() if key.removesuffix("_interval") in names}


def _row(found: dict[str, Any]) -> list[str]:
    rates = (share(found[key], found.get(f"{key}_interval")) for key in ("accuracy_mean", "tmr_at_fmr_1e-2", "eer"))
    size = f"{found['bytes'] / 1e6:.2f} MB" if "bytes" in found else "-"
    taught = "-" if found["bits"] == 32 else "yes" if found["taught"] else "no"
    return [str(found["bits"]), taught, *rates, size]


if __name__ == "__main__":
    sys.exit(main())
