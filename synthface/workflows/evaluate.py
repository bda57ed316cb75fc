"""Measure verification: accuracy over folds, TMR at FMR, EER and AUC with intervals, ROC and DET plots.

Reads pairs in the format of LFW's pairs.txt and finds each image by its source name in the FaceSet, or a .jsonl
('measure --pairs-out') that names images by their paths. Pairs whose images are not in the set are counted and
reported; more than 5 % of them is an error unless --allow-missing is given.
A .bin verification set brings its own images and needs no FaceSet; nothing in it is executed. Without --pairs they are
drawn from --faces: ten folds, nobody in two of them, of images or of templates of several images.

--scores quality-aware takes QMagFace's score, cosine + min(0, beta cosine - alpha) quality, for recognisers whose
embeddings' lengths tell quality. Alpha and beta are fitted for each recogniser on the people of --fit, who must be
others than those compared; templates then weigh their images by length. quality-linear, ours, leaves out the bound at
0, for recognisers that were not trained so and whose fit wants quality to count for a match.

Intervals resample people, not pairs; a .bin names nobody, so there people are what its mated pairs tie together.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from synthface.core.atomic import atomic_folder
from synthface.core.errors import ConfigError, DataError
from synthface.core.hashing import sha256_bytes
from synthface.core.run_record import run_record, write_json
from synthface.data import FaceSet
from synthface.workflows.compute import Compute, is_first_process
from synthface.workflows.evaluating.pair_list import PairList, drawn_pairs, pairs_of_bin, pairs_of_file
from synthface.workflows.evaluating.scoring import Scored, Scorer
from synthface.workflows.existing_results import existing_results
from synthface.workflows.pairs_file import is_bin

EXAMPLES = """
synthface evaluate --faces faces --pairs pairs.txt --recognizer mobilefacenet-ms1m --out results
synthface evaluate --faces faces --pairs pairs.txt --recognizer runs/mine --exclude split/train --out results
synthface evaluate --pairs agedb_30.bin --recognizer mobilefacenet-ms1m --flip --out results
synthface evaluate --faces split/holdout --templates 3 --recognizer mobilefacenet-ms1m mobilefacenet-casia --out results
synthface evaluate --faces split/holdout --scores quality-aware --fit split/train --recognizer runs/mine --out results
"""


_BESIDE_SCORES = frozenset({"same", "folds", "rows", "file"})  # the last is numpy's


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface evaluate``.

    Args:
        faces: FaceSet with the images that the pairs name, or that pairs are drawn from; not for a .bin.
        pairs: pairs in the format of LFW's pairs.txt, a .jsonl of 'measure --pairs-out', or a .bin verification set
            (aligned faces, ten folds).
        draw: without --pairs, mated pairs to draw for each of the ten folds, and as many non-mated ones.
        templates: without --pairs, compare templates of up to this many images of a person.
        recognizer: one or more recognisers, by name or path.
        scores: cosine, quality-aware or quality-linear (both need --fit).
        fit: FaceSet of other people that quality-aware scores are fitted on.
        out: folder to write results.json, plots and index.html to.
        flip: add the embedding of each image's mirror before normalising.
        exclude: FaceSet whose people are left out, usually what the recogniser was trained on.
        allow_missing: go on when more than one pair in twenty names images that the set does not hold.
        replicates: bootstrap replicates for the intervals.
        seed: of the bootstrap and of all draws.
    """

    recognizer: list[str]
    out: Path
    pairs: Path | None = None
    faces: Path | None = None
    draw: int = 300
    templates: int = 1
    scores: Literal["cosine", "quality-aware", "quality-linear"] = "cosine"
    fit: Path | None = None
    flip: bool = False
    exclude: Path | None = None
    allow_missing: bool = False
    replicates: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.replicates < 100:
            raise ConfigError(f"--replicates {self.replicates}: give at least 100")
        if len(set(self.recognizer)) != len(self.recognizer):
            raise ConfigError("--recognizer names one recogniser twice")
        self._check_pairs()
        if (self.scores != "cosine") != (self.fit is not None):
            raise ConfigError(f"--scores {self.scores} {'takes no' if self.fit else 'needs a'} --fit")

    def _check_pairs(self) -> None:
        bin_set = self.pairs is not None and is_bin(self.pairs)
        if bin_set and (self.faces or self.exclude):
            raise ConfigError(f"--pairs {self.pairs} brings its own images, and names nobody: no --faces, no --exclude")
        if not bin_set and self.faces is None:
            which = f"the images that {self.pairs} names" if self.pairs else "the images to draw pairs from"
            raise ConfigError(f"--faces is missing: the FaceSet with {which}")
        if self.templates < 1 or self.draw < 1:
            raise ConfigError(f"--templates {self.templates} and --draw {self.draw}: give at least 1")
        if self.pairs is not None and self.templates > 1:
            raise ConfigError(f"--templates {self.templates}: --pairs {self.pairs} lists single images; leave it out")


def run(options: Options) -> int:
    """Evaluate every recogniser and write the results."""
    faceset, pairs = _read_pairs(options)
    n_mated = int(pairs.same.sum())
    if not 0 < n_mated < len(pairs.same):
        raise DataError(
            f"{n_mated} of the {len(pairs.same)} pairs are mated; both kinds are needed: give other pairs, or exclude "
            "fewer people"
        )
    from synthface.recognition.catalogue import find_weights

    weights = {name: find_weights(name) for name in options.recognizer}
    if len({file.name for file in weights.values()}) != len(weights):
        raise ConfigError(
            "--recognizer: two of them have one name; rename a file or a run, the results are kept by name"
        )
    if taken := _BESIDE_SCORES & {file.name for file in weights.values()}:
        raise ConfigError(
            f"--recognizer: scores.npz keeps something else by the name {min(taken)}; rename the file or run"
        )
    record = _record(options, faceset, {file.name: file.sha256 for file in weights.values()})
    existing = existing_results(options.out, "results.json", record)
    if existing is None:
        fit = _fitting_set(options, pairs)
        scorer = Scorer(faceset, pairs, fit, options.scores == "quality-aware", options.flip, options.seed, options)
        scored = {file.name: scorer(name) for name, file in weights.items()}
        if not is_first_process():
            return 0
        existing = _evaluate(options, pairs, scored, record)
    sys.stdout.write(_table(existing))
    return 0


def _read_pairs(options: Options) -> tuple[FaceSet, PairList]:
    if options.pairs is not None and not options.pairs.is_file():
        raise DataError(f"--pairs {options.pairs} does not exist or is no file")
    if options.faces is None:
        assert options.pairs is not None  # checked above
        return pairs_of_bin(options.pairs)
    faceset = FaceSet.load(options.faces, flag="--faces")
    excluded = set(FaceSet.load(options.exclude, flag="--exclude").identities) if options.exclude else set()
    if options.pairs is not None:
        return faceset, pairs_of_file(options.pairs, faceset, excluded, allow_missing=options.allow_missing)
    sizes = {"per_fold": options.draw, "template_size": options.templates}
    return faceset, drawn_pairs(faceset, excluded, **sizes, seed=options.seed)


def _fitting_set(options: Options, pairs: PairList) -> FaceSet | None:
    if options.fit is None:
        return None
    fit = FaceSet.load(options.fit, flag="--fit")
    shared = set(fit.identities) & set(pairs.identities.ravel().tolist())
    if shared:
        raise DataError(
            f"--fit {options.fit} shows {len(shared)} of the people compared; give others ('synthface split' makes "
            "such parts), or leave its people out of the pairs by --exclude"
        )
    return fit


def _record(options: Options, faceset: FaceSet, recognizers: dict[str, str]) -> dict[str, Any]:
    # Hashes name the inputs, so that the same question has the same answer wherever its files lie.
    config: dict[str, Any] = {
        "flip": options.flip,
        "exclude": options.exclude is not None,
        "replicates": options.replicates,
    }
    inputs = {"faces": faceset.manifest_sha256, **recognizers}
    if options.pairs:
        inputs["pairs"] = sha256_bytes(options.pairs.read_bytes())
    else:
        config |= {"draw": options.draw, "templates": options.templates}
    if options.scores != "cosine":
        config["scores"] = options.scores
    for name, path in (("exclude", options.exclude), ("fit", options.fit)):
        if path:
            inputs[name] = FaceSet.load(path, flag=f"--{name}").manifest_sha256
    return run_record("evaluate", config, seed=options.seed, inputs=inputs)


def _evaluate(
    options: Options, pairs: PairList, scored: Mapping[str, Scored], record: dict[str, Any]
) -> dict[str, Any]:
    from synthface.metrics.verification_summary import ScoredPairs, summarise, too_few_for
    from synthface.report.verification_page import write_verification_page

    per_recognizer, by_kind = {}, {}
    for name, found in scored.items():
        listed = ScoredPairs(found.scores, pairs.same, pairs.folds, pairs.identities[:, 0], pairs.identities[:, 1])
        counts = {"n_missing": pairs.n_missing, "n_excluded": pairs.n_excluded}
        per_recognizer[name] = (
            summarise(listed, n_replicates=options.replicates, seed=options.seed) | counts | found.about
        )
        by_kind[name] = (listed.mated, listed.non_mated)
    alone = next(iter(per_recognizer.values())) if len(per_recognizer) == 1 else {}
    results: dict[str, Any] = {**alone, "recognizers": per_recognizer, "made_by": record}
    remarks = list(too_few_for(int((~pairs.same).sum())))
    if options.fit is not None and options.pairs is not None and options.faces is None:
        remarks.append(
            f"{options.pairs.name} names nobody, so whether --fit {options.fit.name} shows its people is not known"
        )
    if remarks:
        results["remarks"] = remarks
    with atomic_folder(options.out) as folder:
        write_verification_page(folder, results, by_kind)
        scores: dict[str, Any] = {name: found.scores for name, found in scored.items()}
        np.savez(folder / "scores.npz", same=pairs.same, folds=pairs.folds, rows=pairs.rows, **scores)
        write_json(folder / "results.json", results)
    return results


def _table(results: dict[str, Any]) -> str:
    from synthface.report.page import percent
    from synthface.report.text_table import aligned
    from synthface.report.verification_page import COLUMNS

    rows = [["recogniser", "pairs", "missing", *(title for _, title in COLUMNS)]]
    for name, values in results["recognizers"].items():
        cells = [percent(values[key], 2) for key, _ in COLUMNS]
        rows.append([name, str(values["n_pairs"]), str(values["n_missing"]), *cells])
    return aligned(rows) + "".join(f"{remark}\n" for remark in results.get("remarks", ()))
