"""Run the main job on the models that ship with the package: no data needed, no network.

Generates people who do not exist, measures what makes a class one person, inverts embeddings, and puts it all, with
the audit of the generator, on one page that explains what the project is for. Run again after an interruption, it goes
on where it stopped.
"""

import json
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthface.core.errors import ConfigError
from synthface.core.run_record import write_json
from synthface.models import GENERATOR_AUDIT, GENERATOR_AUDIT_PAGE, shipped_model

EXAMPLES = """
synthface quickstart --out quickstart
"""
RECOGNIZER = "synthface-student"  # compares, and is inverted
JUDGE = "synthface-small"  # of another network and loss, taught by photos and no teacher
_WALL_COLUMNS = 10
_INVERTED = 8
_REPLICATES = 200  # of the bootstrap behind the intervals


@dataclass(frozen=True)
class Options:
    """Options of ``synthface quickstart``.

    Args:
        out: folder to write; open index.html in it.
        identities: people to generate.
        per_identity: images of each.
        seed: seed of all of it.
    """

    out: Path
    identities: int = 50
    per_identity: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.identities < 2 or self.per_identity < 2:
            raise ConfigError("--identities and --per-identity are at least 2: one person has no non-mated comparison")


def run(options: Options) -> None:
    """Run the stages, each of which is skipped where its result is already there, then write the page."""
    from synthface.data import FaceSet
    from synthface.workflows import audit, generate, invert
    from synthface.workflows.embed import embed_faceset

    options.out.mkdir(parents=True, exist_ok=True)
    faces = options.out / "synthetic"
    _stage("1/4", "people who do not exist")
    generate.run(
        generate.Options(
            out=faces, classes=f"0-{options.identities - 1}", per_class=options.per_identity, seed=options.seed
        )
    )
    faceset = FaceSet.load(faces)
    _stage("2/4", "what makes a class one person")
    embeddings = {name: embed_faceset(faceset, name) for name in (RECOGNIZER, JUDGE)}
    embeddings[RECOGNIZER].save(options.out / "embeddings.npz")
    _stage("3/4", "embeddings turned back into images")
    invert.run(
        invert.Options(
            recognizer=RECOGNIZER,
            judges=[JUDGE],
            faces=faces,
            limit=_INVERTED,
            seed=options.seed,
            out=options.out / "inversion",
        )
    )
    _stage("4/4", "identity-leakage audit, as far as it goes without real photos")
    audit.run(audit.Options(synthetic=faces, recognizers=[RECOGNIZER, JUDGE], out=options.out / "audit"))
    shutil.copyfile(shipped_model(GENERATOR_AUDIT_PAGE), options.out / GENERATOR_AUDIT_PAGE)
    summary = collect(options, faceset, embeddings)
    write_json(options.out / "summary.json", summary["figures"])
    page = _page(options, faceset, summary)
    (options.out / "index.html").write_text(page, encoding="utf-8")
    print(f"\nOpen {options.out / 'index.html'}")


def _stage(number: str, what: str) -> None:
    print(f"[{number}] {what}", flush=True)


def collect(options: Options, faceset: Any, embeddings: Any) -> dict[str, Any]:
    """Return the scores within and between classes, and the figures that the page quotes."""
    from synthface.metrics.all_pairs import all_pairs
    from synthface.metrics.verification_summary import summarise

    pairs, judged = (all_pairs(embeddings[name].vectors, embeddings[name].identities) for name in (RECOGNIZER, JUDGE))
    separability = summarise(pairs, n_replicates=_REPLICATES, seed=options.seed)
    audited = json.loads(shipped_model(GENERATOR_AUDIT).read_text(encoding="utf-8"))
    inverted = json.loads((options.out / "inversion" / "results.json").read_text(encoding="utf-8"))
    figures = {
        "n_images": len(faceset),
        "n_identities": len(faceset.identities),
        "recognizer": RECOGNIZER,
        "n_mated": len(pairs.mated),
        "n_non_mated": len(pairs.non_mated),
        **{key: separability[key] for key in ("eer", "eer_interval", "auc", "auc_interval", "fisher_ratio")},
        "verdict": audited["verdict"],
        "inversion_same_model_cosine": inverted["same_model"]["cosine_mean"],
        "judge": JUDGE,
        "inversion_judge_cosine": inverted["judges"][JUDGE]["cosine_mean"],
        "inversion_judge_interval": inverted["judges"][JUDGE]["intervals"]["cosine_mean"],
        "judge_mated_cosine": float(judged.mated.mean()),
        "judge_non_mated_cosine": float(judged.non_mated.mean()),
    }
    return {"figures": figures, "mated": pairs.mated, "non_mated": pairs.non_mated, "audit": audited}


def _page(options: Options, faceset: Any, summary: dict[str, Any]) -> str:
    from synthface.report.quickstart_page import quickstart_page

    n_columns = min(_WALL_COLUMNS, options.per_identity)
    rows = [
        [faceset.read_image(int(index)) for index in _rows_of(faceset, identity)[:n_columns]]
        for identity in faceset.identities
    ]
    inverted = options.out / "inversion"
    return quickstart_page(
        rows=rows,
        inversion_sheet=inverted / "contact_sheet.png",
        folder=Path.cwd(),
        programs=Path(sysconfig.get_path("scripts")),
        **summary,
    )


def _rows_of(faceset: Any, identity: str) -> list[int]:
    return [index for index, record in enumerate(faceset.records) if record.identity == identity]
