"""What the optional parts of a GAN training bring: each beside the plain training, for as many minutes.

    python scripts/study_gan_parts.py --faces split/train --init runs/gan --minutes 10 --out study \
        --arms plain centre margin
    python scripts/study_gan_parts.py --faces split/train --minutes 15 --out study-new --arms plain transition

Every arm trains from the same beginning under the settings of the hour that docs/results.md compares with the official
code. Then 300 of its training classes, 20 images each, are measured beside the photos of their people under both
research recognisers; the identity player sees with neither (synthface-small). An arm that has ended is not done again,
one that was stopped goes on. Writes gan-parts.json and prints Markdown. One training an arm: small differences may be
the seed's.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from reproduction import RECOGNIZERS, exit_code, figure, markdown_table, read_json, synthface

from gan.weights import read_header
from synthface.core.run_record import write_json

ARMS: dict[str, list[str]] = {
    "plain": [],
    "centre": ["--training.identity.form", "centre"],
    "margin": ["--training.identity.form", "margin"],
    "transition": ["--training.transition.end_kimg", "10"],
}
SETTINGS = ["--monitor.ticks", "0", "--training.half_from", "16"]
SETTINGS += ["--training.batch", "8", "--training.micro_batch", "8"]


def main() -> int:
    """Train, generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="FaceSet to train on")
    parser.add_argument("--init", type=Path, help="run to begin from; left out, every arm begins anew")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each training")
    parser.add_argument("--learning-rate", type=float, default=0.0025)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["plain", "centre", "margin"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder for runs, sets and measures")
    return exit_code(_study, parser.parse_args())


def _study(arguments: argparse.Namespace) -> None:
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = {arm: _measured(arm, arguments) for arm in arguments.arms}
    write_json(arguments.out / "gan-parts.json", found)
    print(_table(found))


def _measured(arm: str, arguments: argparse.Namespace) -> dict[str, Any]:
    run, faces, measured = (arguments.out / f"{arm}{ending}" for ending in ("", "-faces", "-measured"))
    settings = [*SETTINGS, "--training.learning_rate", arguments.learning_rate, *ARMS[arm]]
    begun = ["--resume"] if run.exists() else ["--init", arguments.init] if arguments.init else []
    length = ["--minutes", arguments.minutes, "--seed", arguments.seed]
    synthface("train-gan", "--faces", arguments.faces, "--out", run, *length, *settings, *begun)
    synthface("generate", "--generator", run, "--classes", "0-299", "--out", faces)
    synthface("measure", faces, "--beside", arguments.faces, "--recognizers", *RECOGNIZERS, "--out", measured)
    measure = read_json(measured / "measure.json")
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    return {
        "settings": ARMS[arm],
        "seen_images": last["seen_images"],
        "seconds": last["seconds"],
        "generator": read_header(run / "generator.safetensors")["info"],
        "recognizers": {name: measure["recognizers"][name] for name in RECOGNIZERS},
        "made_by": measure["made_by"],
    }


def _table(found: dict[str, Any]) -> str:
    rows = []
    for name in RECOGNIZERS:
        for arm, results in found.items():
            labels, images = (results["recognizers"][name][part] for part in ("measured", "distances"))
            separable = [figure(labels[key]) for key in ("eer", "fisher_ratio")]
            near = [figure(images["measured"][key]) for key in ("frechet", "precision", "recall")]
            rows.append([arm, name, f"{results['seen_images']:,}", *separable, *near])
    return markdown_table(
        ["training", "recogniser", "images", "EER", "Fisher ratio", "Frechet", "precision", "recall"], rows
    )


if __name__ == "__main__":
    sys.exit(main())
