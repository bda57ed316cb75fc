"""Trained classes beside people who are no training class: how well labels tell faces apart, and whom they leak.

    python scripts/reproduce_sets.py --run runs/gan --split split --out reference --json docs/runs/sets.json

From a training run's generator, 300 of its classes, 300 mixed people, 300 sampled ones, and 300 of these that
synthface-small tells from each other and from every training class, 20 images each, are measured beside the training
photos and audited against training people, hold-out and placebo, under both research recognisers. Prints the tables of
docs/results.md and writes their figures. Whatever is done already is not done again.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from reproduction import RECOGNIZERS, figure, markdown_table, parts_of, read_json, synthface

from synthface.core.errors import SynthfaceError
from synthface.core.run_record import write_json

KINDS = {
    "trained": [],
    "mixed": ["--identities", "mixed", "--distinct.fmr", "0"],
    "sampled": ["--identities", "sampled", "--distinct.fmr", "0"],
    "told-apart": ["--identities", "sampled", "--distinct.fmr", "1e-4"],
}
SEPARABILITY = ("eer", "auc", "fmr1000", "fisher_ratio", "identities", "uniqueness")
DISTANCES = ("frechet", "kernel_distance", "precision", "recall", "density", "coverage")
# Computed from the histograms that SFace (arXiv 2206.10520) published of image-to-photo scores.
SFACE = ["SFace, its published histograms", "not named", "-", ".780", ".379", ".112", ".292"]


def main() -> int:
    """Generate, measure, audit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of 'synthface train-gan'")
    parser.add_argument("--split", type=Path, required=True, help="folder of 'synthface split'")
    parser.add_argument("--out", type=Path, required=True, help="folder for sets, measures and audits")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="which of them")
    arguments = parser.parse_args()
    try:
        found = {kind: _make(kind, arguments) for kind in arguments.kinds}
    except SynthfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    if arguments.json:
        write_json(arguments.json, found)
    print(separability(found), distances(found), linkage(found), plants(found), sep="\n")
    return 0


def _make(kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    faces, measured, audited = (arguments.out / f"{kind}{ending}" for ending in ("", "-measured", "-audit"))
    synthface("generate", "--generator", arguments.run, "--classes", "0-299", *KINDS[kind], "--out", faces)
    beside = ["--beside", arguments.split / "train", "--recognizers", *RECOGNIZERS]
    synthface("measure", faces, *beside, "--out", measured)
    synthface(
        "audit", "--synthetic", faces, *parts_of(arguments.split), "--recognizers", *RECOGNIZERS, "--out", audited
    )
    measure, audit = read_json(measured / "measure.json"), read_json(audited / "audit.json")
    kept = {name: audit[name] for name in ("verdict", "claim", "needs", "power", "made_by")}
    gates = {key: {"title": gate["title"], "passed": gate["passed"]} for key, gate in audit["gates"].items()}
    links, acquisition = (
        {
            check["recognizer"] + ":" + check["key"]: {
                name: check[name] for name in ("value", "interval", "baseline", "p_value", "n")
            }
            for check in audit["gates"][gate]["checks"]
        }
        for gate in ("A4", "V5")
    )
    return {
        "measure": {name: measure[name] for name in ("recognizers", "images", "sets", "made_by")},
        "audit": kept | {"gates": gates, "linkage": links, "acquisition": acquisition},
    }


def separability(found: dict[str, Any]) -> str:
    """Return the table of how well labels tell faces apart."""
    rows, first = [], next(iter(found.values()))
    for name in RECOGNIZERS:
        parts = [(kind, found[kind]["measure"]["recognizers"][name]["measured"]) for kind in found]
        parts.append(("real people", first["measure"]["recognizers"][name]["beside"]))
        rows += [[which, name, *(figure(part[key]) for key in SEPARABILITY)] for which, part in parts]
    return markdown_table(
        ["set", "recogniser", "EER", "AUC", "FMR1000", "Fisher ratio", "effective identities", "unique"], rows
    )


def distances(found: dict[str, Any]) -> str:
    """Return the table of the distances to the real images."""
    rows, first = [], next(iter(found.values()))
    for name in RECOGNIZERS:
        parts = [(kind, found[kind]["measure"]["recognizers"][name]["distances"]["measured"]) for kind in found]
        parts.append(("other real people", first["measure"]["recognizers"][name]["distances"]["control"]))
        rows += [[which, name, *(figure(part[key]) for key in DISTANCES)] for which, part in parts]
    heads = ["set", "recogniser", "Frechet", "kernel distance", "precision", "recall", "density", "coverage"]
    return markdown_table(heads, rows)


def linkage(found: dict[str, Any]) -> str:
    """Return the table of gate A4: do labels lead to training people?"""
    rows = []
    for kind, results in found.items():
        for name in RECOGNIZERS:
            checks = {key.split(":")[1]: check for key, check in results["audit"]["linkage"].items() if name in key}
            hits = checks["rank1_hits"]
            first = f"{hits['value']:.0f} (chance {hits['baseline']:.2f}, p {hits['p_value']:.2g})"
            rest = [figure(checks[key]) for key in ("auc", "d_sys", "tmr", "eer")]
            rows.append([kind, name, first, *rest])
    heads = ["set", "recogniser", "rank-1 hits", "AUC", "D_sys", "TMR at FMR 1e-3", "EER"]
    return markdown_table(heads, [*rows, SFACE])


def plants(found: dict[str, Any]) -> str:
    """Return the table of planted leaks that were found, and the verdicts."""
    by_kind = {kind: {row["kind"]: row for row in results["audit"]["power"]} for kind, results in found.items()}
    rows = [
        [row["words"], *(f"{by_kind[kind][key]['found']} of {by_kind[kind][key]['n']}" for kind in found)]
        for key, row in next(iter(by_kind.values())).items()
    ]
    verdicts = [
        f"{kind}: {results['audit']['verdict']}. {results['audit']['claim']}" for kind, results in found.items()
    ]
    return "\n\n".join([markdown_table(["planted", *found], rows), *verdicts]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
