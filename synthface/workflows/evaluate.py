"""Measure verification: accuracy over folds, TMR at FMR, EER and AUC with intervals, ROC and DET plots.

Reads pairs in the format of LFW's pairs.txt and finds each image by its source name in the FaceSet. Pairs whose
images are not in the set are counted and reported; more than 5 % of them is an error unless --allow-missing is given.
A .bin verification set brings its own images and needs no FaceSet; nothing in it is executed.
Intervals resample people, not pairs; a .bin names nobody, so there people are what its mated pairs tie together.
"""

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthface.core.atomic import atomic_folder
from synthface.core.errors import ConfigError, DataError
from synthface.core.hashing import sha256_bytes
from synthface.core.run_record import run_record, write_json
from synthface.data import FaceSet
from synthface.workflows.compute import Compute, is_first_process
from synthface.workflows.embed import embed_faceset
from synthface.workflows.pairs_file import is_bin, locate_pairs, open_bin

EXAMPLES = """
synthface evaluate --faces faces --pairs pairs.txt --recognizer mobilefacenet-ms1m --out results
synthface evaluate --faces faces --pairs pairs.txt --recognizer runs/mine --exclude split/train --out results
synthface evaluate --pairs agedb_30.bin --recognizer mobilefacenet-ms1m --flip --out results
"""
MAX_MISSING_SHARE = 0.05

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface evaluate``.

    Args:
        faces: FaceSet with the images that the pairs name; not for a .bin.
        pairs: pairs in the format of LFW's pairs.txt, or a .bin verification set (aligned faces, ten folds).
        recognizer: one or more recognisers, by name or path.
        out: folder to write results.json, plots and index.html to.
        flip: add the embedding of each image's mirror before normalising.
        exclude: FaceSet whose people are left out, usually what the recogniser was trained on.
        allow_missing: go on when more than one pair in twenty names images that the set does not hold.
        replicates: bootstrap replicates for the intervals.
        seed: seed of the bootstrap.
    """

    pairs: Path
    recognizer: list[str]
    out: Path
    faces: Path | None = None
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
        if is_bin(self.pairs) and (self.faces or self.exclude):
            raise ConfigError(f"--pairs {self.pairs} brings its own images, and names nobody: no --faces, no --exclude")
        if not is_bin(self.pairs) and self.faces is None:
            raise ConfigError(f"--faces is missing: the FaceSet with the images that {self.pairs} names")


def run(options: Options) -> int:
    """Evaluate every recogniser and write the results."""
    faceset, pairs = _read_pairs(options)
    from synthface.recognition.catalogue import find_weights

    weights = {name: find_weights(name) for name in options.recognizer}
    if len({file.name for file in weights.values()}) != len(weights):
        raise ConfigError(
            "--recognizer: two of them have one name; rename a file or a run, the results are kept by name"
        )
    record = _record(options, faceset, {file.name: file.sha256 for file in weights.values()})
    existing = _existing_results(options.out, record)
    if existing is None:
        scored = {}
        for name, file in weights.items():
            vectors = embed_faceset(faceset, name, compute=options, flip=options.flip).vectors.astype(np.float64)
            scored[file.name] = np.einsum("nd,nd->n", vectors[pairs.rows[:, 0]], vectors[pairs.rows[:, 1]])
        if not is_first_process():
            return 0
        existing = _evaluate(options, pairs, scored, record)
    sys.stdout.write(_table(existing))
    return 0


def _read_pairs(options: Options) -> tuple[FaceSet, "_PairList"]:
    if options.faces is None:
        return _PairList.from_bin(options.pairs)
    faceset = FaceSet.load(options.faces, flag="--faces")
    return faceset, _PairList.read(options, faceset)


@dataclass(frozen=True)
class _PairList:
    """The pairs that can be compared: rows of the FaceSet, and how many others there were."""

    rows: Any  # [N, 2] int64
    same: Any  # [N] bool
    folds: Any  # [N] int64
    identities: Any  # [N, 2] str
    n_missing: int
    n_excluded: int

    @classmethod
    def from_bin(cls, path: Path) -> tuple[FaceSet, "_PairList"]:
        faceset, listed, folds = open_bin(path)
        rows = np.array([pair[:2] for pair in listed], dtype=np.int64)
        identities = np.array([record.identity for record in faceset.records], dtype=np.str_)[rows]
        same = np.array([is_same for _, _, is_same in listed], dtype=bool)
        return faceset, cls(rows, same, np.array(folds, dtype=np.int64), identities, 0, 0)

    @classmethod
    def read(cls, options: Options, faceset: FaceSet) -> "_PairList":
        listed, found, row_of = locate_pairs(options.pairs, faceset, flag="--pairs")
        n_missing = len(listed) - len(found)
        if not found or (n_missing > MAX_MISSING_SHARE * len(listed) and not options.allow_missing):
            raise DataError(
                f"{n_missing} of {len(listed)} pairs in {options.pairs} name images that --faces "
                f"{options.faces} does not hold; "
                "give the FaceSet made from those photos, or --allow-missing"
            )
        excluded = set(FaceSet.load(options.exclude, flag="--exclude").identities) if options.exclude else set()
        used = [pair for pair in found if pair.first[0] not in excluded and pair.second[0] not in excluded]
        return cls(
            np.array([[row_of[pair.first], row_of[pair.second]] for pair in used], dtype=np.int64).reshape(-1, 2),
            np.array([pair.same for pair in used], dtype=bool),
            np.array([pair.fold for pair in used], dtype=np.int64),
            np.array([[pair.first[0], pair.second[0]] for pair in used], dtype=np.str_).reshape(-1, 2),
            n_missing,
            len(found) - len(used),
        )


def _record(options: Options, faceset: FaceSet, recognizers: dict[str, str]) -> dict[str, Any]:
    # Hashes name the inputs, so that the same question has the same answer wherever its files lie.
    config = {"flip": options.flip, "exclude": options.exclude is not None, "replicates": options.replicates}
    inputs = {"faces": faceset.manifest_sha256, "pairs": sha256_bytes(options.pairs.read_bytes()), **recognizers}
    if options.exclude:
        inputs["exclude"] = FaceSet.load(options.exclude, flag="--exclude").manifest_sha256
    return run_record("evaluate", config, seed=options.seed, inputs=inputs)


def _existing_results(out: Path, record: dict[str, Any]) -> dict[str, Any] | None:
    """Return the results that stand in ``out`` if they answer this very question."""
    if not out.exists():
        return None
    try:
        results: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
        same = all(results["made_by"][key] == record[key] for key in ("config", "seed", "inputs"))
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise ConfigError(f"--out {out} already exists and holds something else; give another path or remove it")
    logger.info("%s is already complete: nothing to do", out)
    return results


def _evaluate(options: Options, pairs: _PairList, scored: Mapping[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    from synthface.metrics.verification_summary import ScoredPairs, summarise
    from synthface.report.verification_page import write_verification_page

    per_recognizer, by_kind = {}, {}
    for name, scores in scored.items():
        listed = ScoredPairs(scores, pairs.same, pairs.folds, pairs.identities[:, 0], pairs.identities[:, 1])
        counts = {"n_missing": pairs.n_missing, "n_excluded": pairs.n_excluded}
        per_recognizer[name] = summarise(listed, n_replicates=options.replicates, seed=options.seed) | counts
        by_kind[name] = (listed.mated, listed.non_mated)
    alone = next(iter(per_recognizer.values())) if len(per_recognizer) == 1 else {}
    results: dict[str, Any] = {**alone, "recognizers": per_recognizer, "made_by": record}
    with atomic_folder(options.out) as folder:
        write_verification_page(folder, results, by_kind)
        np.savez(folder / "scores.npz", same=pairs.same, folds=pairs.folds, rows=pairs.rows, **scored)
        write_json(folder / "results.json", results)
    return results


def _table(results: dict[str, Any]) -> str:
    from synthface.report.page import percent
    from synthface.report.verification_page import COLUMNS

    rows = [["recogniser", "pairs", "missing", *(title for _, title in COLUMNS)]]
    for name, values in results["recognizers"].items():
        cells = [percent(values[key], 2) for key, _ in COLUMNS]
        rows.append([name, str(values["n_pairs"]), str(values["n_missing"]), *cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"
