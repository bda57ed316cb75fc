"""The generator that ships, from a training run: identities of nobody, their figures, their audit, the card.

    synthface split faces --out split
    python scripts/reproduce_generator.py --run runs/annealed --split split --out reference --to synthface/models

The run of the file that ships was trained by the three commands of docs/results.md.

Identities are drawn from the distribution of the training classes' rows by random numbers that are not kept: so the
file cannot be made twice, and nobody can solve it for the classes' own rows; --out keeps what was made. From it,
and from nothing else, a set is generated, measured beside the training photos, and audited against training people,
hold-out and placebo with both research recognisers. Writes the generator, its card, its measurements, and the audit in
public form: page and figures, without pictures, names or fine scores. Whatever is done already is not done again.
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from export_generator import export
from reproduction import RECOGNIZERS, exit_code, figure, markdown_table, parts_of, read_json, synthface

from gan.networks.generator import Generator
from gan.weights import load_generator, read_header
from synthface.core.hashing import sha256_file, sha256_json
from synthface.core.run_record import write_json
from synthface.models import GENERATOR, GENERATOR_AUDIT, GENERATOR_AUDIT_PAGE
from synthface.report.audit_page import worst_check
from synthface.report.coarse import coarse, coarse_gate, coarse_text

_HEADS = ["recogniser", "EER", "real people", "kernel distance", "other real people", "diversity", "real people"]


def main() -> int:
    """Export, generate, measure, audit, write the card."""
    return exit_code(_reproduce, _arguments())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of 'synthface train-gan'")
    parser.add_argument("--split", type=Path, required=True, help="folder of 'synthface split'")
    parser.add_argument("--out", type=Path, required=True, help="folder for set, measures and audit")
    parser.add_argument("--to", type=Path, required=True, help="folder for what ships")
    parser.add_argument("--identities", type=int, default=500)
    parser.add_argument("--per-identity", type=int, default=20)
    return parser.parse_args()


def _reproduce(arguments: argparse.Namespace) -> None:
    split, out, to = arguments.split, arguments.out, arguments.to
    out.mkdir(parents=True, exist_ok=True)
    generator = out / GENERATOR
    if not generator.exists():
        export(arguments.run, generator, identities=arguments.identities)
    faces, measured, audited = (out / name for name in ("faces", "measured", "audit"))
    synthface("generate", "--generator", generator, "--per-class", arguments.per_identity, "--out", faces)
    beside = ["--beside", split / "train", "--recognizers", *RECOGNIZERS]
    synthface("measure", faces, *beside, "--out", measured)
    synthface("audit", "--synthetic", faces, *parts_of(split), "--recognizers", *RECOGNIZERS, "--out", audited)
    audit, measure = read_json(audited / "audit.json"), read_json(measured / "measure.json")
    shutil.copyfile(audited / "report_public.html", to / GENERATOR_AUDIT_PAGE)
    write_json(to / GENERATOR_AUDIT, public_audit(audit, sha256_file(generator), arguments.per_identity))
    write_json(to / "generator-measure.json", public_measure(measure))
    card = model_card(load_generator(generator), read_header(generator)["info"], audit, measure, sha256_file(generator))
    shutil.copyfile(generator, to / GENERATOR)
    (to / GENERATOR).with_suffix(".md").write_text(card, encoding="utf-8")


def public_audit(audit: dict[str, Any], generator_sha256: str, per_identity: int) -> dict[str, Any]:
    """Return what may be shown of an audit, and of which generator it is."""
    gates = [
        {name: gate[name] for name in ("id", "title", "kind", "passed", "applicable", "text")}
        | {"decided_by": worst_check(gate) or {}}
        for gate in map(coarse_gate, audit["gates"].values())
    ]
    return {
        "generator_sha256": generator_sha256,
        "per_identity": per_identity,
        "verdict": audit["verdict"],
        "claim": coarse_text(audit["claim"]),
        "needs": [coarse_text(need) for need in audit["needs"]],
        **{name: audit[name] for name in ("sizes", "recognizers", "profile")},
        "gates": gates,
        "power": coarse([{name: row[name] for name in ("words", "found", "n", "interval")} for row in audit["power"]]),
        "config_sha256": audit["config_sha256"],
        "versions": audit["made_by"]["versions"],
    }


def public_measure(measure: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a measurement that the card quotes."""
    return {
        "side": measure["side"],
        "recognizers": {
            name: {
                which: {key: found[which][key] for key in ("eer", "uniqueness") if key in found[which]}
                for which in ("measured", "beside")
            }
            | {"distances": found["distances"]}
            for name, found in measure["recognizers"].items()
        },
        "diversity": {which: measure["images"][which]["diversity"] for which in ("measured", "beside")},
        "config_sha256": sha256_json(measure["made_by"]["config"]),
        "versions": measure["made_by"]["versions"],
    }


def model_card(
    G: Generator, info: dict[str, Any], audit: dict[str, Any], measure: dict[str, Any], generator_sha256: str
) -> str:
    """Return the card of the generator in Markdown."""
    sizes, open_gates = audit["sizes"], [gate for gate in audit["gates"].values() if gate["passed"] is None]
    by_recognizer = measure["recognizers"]
    undecided = "; ".join(f"{gate['id']} ({gate['title'].lower()})" for gate in open_gates if gate["applicable"])
    weights = sum(weight.numel() for weight in G.parameters())
    lines = [
        "# Model card: the generator that ships",
        "",
        f"`{GENERATOR}`: class-conditional StyleGAN2-ADA, {G.resolution}x{G.resolution} pixels, "
        f"{weights / 1e6:.1f} million weights, {G.n_classes} identities, float16, "
        f"SHA-256 `{generator_sha256}`.",
        "",
        f"**Made by** `synthface train-gan` on two CPU cores ({info['seen_images']:,} images seen in all), then "
        "`scripts/reproduce_generator.py`, which wrote this card.",
        "",
        "**Training photos.** The training part of Labeled Faces in the Wild (people with two or more photos, a third "
        f"held out): {sizes['train']['images']:,} photos of {sizes['train']['identities']:,} people. They are "
        "photos of public figures from news, collected for research; the people in them did not give consent to this "
        "use. No photo, name or embedding is in the file.",
        "",
        "**Identities.** The rows of the training classes are not in the file. Each of its identities is "
        f"{info['identities']}.",
        "",
        "**Quality.** All pairs of images, 95 % intervals by identity; real people at the same size beside them "
        "(`generator-measure.json`):",
        "",
        markdown_table(_HEADS, [_quality(name, found, measure["images"]) for name, found in by_recognizer.items()]),
        f"**Leakage.** {audit['verdict']}: {coarse_text(audit['claim'])}",
        f"Undecided: {undecided}." if undecided else "Every gate that applies is decided.",
        f"The page is `{GENERATOR_AUDIT_PAGE}`; {sizes['holdout']['identities']:,} people were held out.",
        "",
        "**Uses.** Trying the tools, tests, teaching. Not for impersonation. Do not build on this generator where a "
        "leak would matter: train your own on photos you may use, and audit it.",
    ]
    return "\n".join(lines) + "\n"


def _quality(name: str, found: dict[str, Any], images: dict[str, Any]) -> list[str]:
    distances = found["distances"]
    return [
        name,
        *(figure(found[which]["eer"]) for which in ("measured", "beside")),
        *(figure(distances[which]["kernel_distance"]) for which in ("measured", "control")),
        *(figure(images[which]["diversity"]) for which in ("measured", "beside")),
    ]


if __name__ == "__main__":
    sys.exit(main())
