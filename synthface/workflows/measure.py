"""Measure a labelled set of faces: do its labels tell people apart, how many are there, how varied and how sharp?

Mated and non-mated scores with EER, FMR100, FMR1000 and AUC, uniqueness, consistency and diversity, the effective
number of identities and image quality; beside a set of real people also the distances to them. Both sets are brought
to one resolution, with equally many identities and at most equally many images of each. Intervals resample
identities, not pairs. The folder written holds measure.json, plots and index.html; it names no identity.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthface.core.atomic import atomic_folder
from synthface.core.errors import ConfigError
from synthface.core.run_record import run_record, write_json
from synthface.data import Embeddings, FaceSet
from synthface.workflows.compute import Compute, is_first_process
from synthface.workflows.embed import embed_faceset
from synthface.workflows.existing_results import existing_results
from synthface.workflows.progress import track

if TYPE_CHECKING:
    from synthface.workflows.measuring.figures import Settings
    from synthface.workflows.measuring.sampled_set import SampledSet

EXAMPLES = """
synthface measure synthetic --beside split/train --recognizers mobilefacenet-ms1m mobilefacenet-casia --out measured
synthface measure synthetic --out first-look
synthface measure split/holdout --pairs-out pairs.jsonl --out measured-holdout
"""
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface measure``.

    Args:
        faceset: FaceSet to measure, synthetic or real.
        beside: FaceSet of real people to measure in the same way and to compare with.
        recognizers: one or more recognisers, by name or path; best others than the one a generator was trained with.
        out: folder to write measure.json, plots and index.html to.
        via_size: pixels a side to which both sets are brought; by default those of the smallest image.
        identities: measure at most so many identities, drawn by the seed; equally many of both sets in any case.
        images_per_identity: measure at most so many images of each, drawn by the seed.
        pairs: compare at most about so many non-mated pairs, spread evenly over the set; all mated ones are compared.
        r: cosine from which two class centres are one person, and which an image reaches to its class's centre.
        fmr: false match rate, among the real people beside, at which two classes count as one person.
        neighbours: nearest neighbours in precision, recall, density and coverage.
        replicates: bootstrap replicates for the intervals.
        seed: seed of all draws.
        pairs_out: file to write ten folds of pairs of FACESET to, no identity in two folds: NAME.jsonl names images by
            their paths; any other name takes LFW's format, for which images must be named Person_0001. It names
            identities.
        pairs_per_fold: mated pairs a fold in that file, and as many non-mated ones.
    """

    faceset: Path = field(metadata={"positional": True})
    beside: Path | None = None
    recognizers: list[str] = field(default_factory=lambda: ["synthface-small"])
    out: Path = Path("measured")
    via_size: int | None = None
    identities: int | None = None
    images_per_identity: int = 20
    pairs: int = 500_000
    r: float = 0.3
    fmr: float = 1e-3
    neighbours: int = 5
    replicates: int = 200
    seed: int = 0
    pairs_out: Path | None = None
    pairs_per_fold: int = 300

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value, least in (
            ("via-size", self.via_size, 16),
            ("identities", self.identities, 2),
            ("images-per-identity", self.images_per_identity, 2),
            ("pairs", self.pairs, 1000),
            ("neighbours", self.neighbours, 1),
            ("replicates", self.replicates, 100),
            ("pairs-per-fold", self.pairs_per_fold, 1),
        ):
            if value is not None and value < least:
                raise ConfigError(f"--{name} {value}: give at least {least}")
        if not -1 < self.r < 1:
            raise ConfigError(f"--r {self.r}: a cosine lies between -1 and 1")
        if not 0 < self.fmr <= 0.1:
            raise ConfigError(f"--fmr {self.fmr}: give a rate above 0 and at most 0.1")
        if len(set(self.recognizers)) != len(self.recognizers):
            raise ConfigError("--recognizers names one recogniser twice")


def run(options: Options) -> int:
    """Measure the set, and the one beside it, under every recogniser."""
    facesets = {"measured": (FaceSet.load(options.faceset), "FACESET")}
    if options.beside is not None:
        facesets["beside"] = (FaceSet.load(options.beside, kinds=["real"], flag="--beside"), "--beside")
    from synthface.recognition.catalogue import find_weights
    from synthface.workflows.measuring.sampled_set import sample_sets

    weights = {name: find_weights(name) for name in options.recognizers}
    if len({file.name for file in weights.values()}) != len(weights):
        raise ConfigError("--recognizers: two of them have one name; rename a file or a run")
    sets = sample_sets(
        facesets,
        identities=options.identities,
        images=options.images_per_identity,
        via_size=options.via_size,
        seed=options.seed,
    )
    record = _record(options, sets, {file.name: file.sha256 for file in weights.values()})
    results = existing_results(options.out, "measure.json", record)
    if options.pairs_out is not None and is_first_process():
        from synthface.workflows.measuring.pairs_list import write_pairs_list

        write_pairs_list(
            options.pairs_out,
            facesets["measured"][0],
            flag="--pairs-out",
            pairs=options.pairs_per_fold,
            seed=options.seed,
        )
    if results is None:
        embeddings = {
            name: {
                role: embed_faceset(chosen.faceset, name, compute=options, via_size=chosen.via_size)
                for role, chosen in sets.items()
            }
            for name in options.recognizers
        }
        if not is_first_process():
            return 0
        results = _measure(options, sets, embeddings, record)
    if is_first_process():
        from synthface.report.measure_page import text_table

        sys.stdout.write(text_table(results))
    return 0


def _record(options: Options, sets: "dict[str, SampledSet]", recognizers: dict[str, str]) -> dict[str, Any]:
    # Hashes name the inputs, so that the same question has the same answer wherever its files lie.
    kept = ("identities", "images_per_identity", "pairs", "r", "fmr", "neighbours", "replicates")
    config = {name: getattr(options, name) for name in kept} | {"side": sets["measured"].side}
    inputs = {role: chosen.faceset.manifest_sha256 for role, chosen in sets.items()}
    return run_record("measure", config, seed=options.seed, inputs={**inputs, **recognizers})


def _measure(
    options: Options,
    sets: "dict[str, SampledSet]",
    embeddings: dict[str, dict[str, Embeddings]],
    record: dict[str, Any],
) -> dict[str, Any]:
    from synthface.metrics.set_measures import Resampling
    from synthface.report.measure_page import Distributions, write_measure_page
    from synthface.workflows.measuring.figures import Settings, image_figures, recognizer_figures

    resampling = Resampling(options.replicates, options.seed)
    settings = Settings(options.pairs, options.r, options.fmr, options.neighbours, resampling)
    images, values = image_figures(sets, settings, track=track)
    scores, norms, by_recognizer = {}, {}, {}
    for by_role in embeddings.values():
        name = by_role["measured"].info["recognizer"]
        known = _shipped_threshold(by_role["measured"], settings, sets["measured"].side)
        by_recognizer[name], scores[name], norms[name] = recognizer_figures(
            sets, by_role, settings, known_threshold=known
        )
    results: dict[str, Any] = {
        "format": "synthface-measure",
        "version": FORMAT_VERSION,
        "side": sets["measured"].side,
        "sets": {role: chosen.describe() for role, chosen in sets.items()},
        "recognizers": by_recognizer,
        "images": images,
        "made_by": record,
    }
    with atomic_folder(options.out) as folder:
        write_measure_page(folder, results, Distributions(scores, norms, values))
        write_json(folder / "measure.json", results)
    return results


def _shipped_threshold(embeddings: Embeddings, settings: "Settings", side: int) -> float | None:
    from synthface.workflows.generating.real_thresholds import shipped_threshold

    info = embeddings.info
    try:
        return shipped_threshold(info["recognizer"], info["recognizer_sha256"], settings.fmr, side=side)
    except ConfigError:
        return None  # a recogniser of one's own, whose threshold only real people could tell
