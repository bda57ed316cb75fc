"""Study what each idea brings to inversion: the ablation table, on people that the settings were not chosen on.

Targets are photos of people with two photos or more: the people, sorted by name, are put in an order drawn from the
seed; the first 64 are the tuning part, the next 128 (--people) the report part; of each, one photo is drawn. The
SHA-256 of the chosen images' hashes is printed and recorded, no name is.

Each arm inverts the embeddings of one recogniser and is judged by another, in both directions, on 8-bit images: cosine
to the photo behind the target, and how often the image passes for that photo (SAR type 1) or for another photo of the
person (type 2) at an FMR of 1e-3, thresholds from all cross-identity pairs of the FaceSet; the accuracy of verification
in ten folds with an image on one side; and the share of images in which a detector finds a face. "Gain" is the
difference of the judge's cosine to the first arm, target by target. Intervals are of 95 %, by identity.

Writes study_inversion.json, study_inversion.md and the images of each arm. Stopped, it goes on where it was.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inversion_arms import ARMS, NEEDS, Arm, extras_from_files
from numpy.typing import NDArray

from inversion import GroupResult, InversionConfig, inversion_steps
from inversion.extras import Extras
from inversion.scoring.replaced_pairs import plan_pairs
from inversion.scoring.scores import Bench, Gallery, score_images
from inversion.scoring.tallies import Tally, summarise
from synthface.core.atomic import write_atomic
from synthface.core.errors import ConfigError, SynthfaceError
from synthface.core.hashing import sha256_json
from synthface.core.heap import keep_freed_memory
from synthface.core.journal import Journal
from synthface.core.run_record import run_record, to_json, write_json
from synthface.core.seeds import numpy_generator
from synthface.data import FaceSet
from synthface.recognition import load_recognizer
from synthface.workflows.embed import embed_faceset
from synthface.workflows.inverting.finding import FaceFinder, share
from synthface.workflows.progress import track

TUNING_PEOPLE = 64
DIRECTIONS = {
    "ms1m": ("mobilefacenet-ms1m", "mobilefacenet-casia"),
    "casia": ("mobilefacenet-casia", "mobilefacenet-ms1m"),
}
SECOND = "synthface-small"  # never a judge: the ensemble's, and the validator


@dataclass(frozen=True)
class Targets:
    """Photos to reconstruct.

    Attributes:
        rows: [N] rows of the FaceSet, one a person.
        owners: [F] who each image of the FaceSet shows.
        sha256: of the list of the photos' hashes.
    """

    rows: NDArray[np.int64]
    owners: NDArray[np.str_]
    sha256: str


@dataclass(frozen=True)
class Job:
    """One arm in one direction.

    Attributes:
        direction: name of the inverted recogniser.
        name: of the arm.
        config: all settings.
    """

    direction: str
    name: str
    config: InversionConfig

    @property
    def arm(self) -> Arm:
        """What it shows."""
        return ARMS[self.name]


def main() -> int:
    """Run what is not in the journal yet, then score and sum up."""
    arguments = parse()
    keep_freed_memory()
    faces = FaceSet.load(arguments.faces, flag="--faces")
    targets = choose_targets(faces, arguments.part, arguments.people, arguments.limit, arguments.seed)
    print(f"{arguments.part}: {len(targets.rows)} people, list sha256 {targets.sha256}")
    configs = {name: ARMS[name].config(arguments.steps) for name in arguments.arms}
    jobs = [Job(direction, name, configs[name]) for name in arguments.arms for direction in arguments.directions]
    study = Study(arguments, faces, targets)
    rows: list[dict[str, Any]] = []
    with Journal(arguments.out / "journal.jsonl") as journal:
        for job in jobs:
            rows.append(study.row(job, journal))
            write_json(arguments.out / "study_inversion.json", study.summary(rows))
            write_atomic(arguments.out / "study_inversion.md", table(rows).encode())
    print(table(rows))
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="FaceSet of people outside every training set")
    parser.add_argument("--out", type=Path, required=True, help="folder for results, images and the journal")
    parser.add_argument("--part", choices=("tuning", "report"), default="tuning")
    parser.add_argument("--people", type=int, default=128, help="of the report part")
    parser.add_argument("--limit", type=int, help="only the first so many targets")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM", help=", ".join(ARMS))
    parser.add_argument("--directions", nargs="+", choices=DIRECTIONS, default=list(DIRECTIONS))
    parser.add_argument("--steps", type=int, help="other numbers of steps than the arms'")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of people, of starts and of views")
    parser.add_argument("--compile", action="store_true", help="compile each step")
    parser.add_argument("--half", action="store_true", help="convolutions in bfloat16")
    parser.add_argument("--prior-faces", type=Path, help="FaceSet of other people, for eigenfaces and mean-start")
    parser.add_argument("--generator", type=Path, help="trained generator, for the arms of that name")
    arguments = parser.parse_args()
    for name in arguments.arms:
        missing = NEEDS.get(ARMS[name].uses or "")
        if missing and getattr(arguments, missing) is None:
            parser.error(f"arm {name} needs --{missing.replace('_', '-')}; give it, or name the arms by --arms")
    (arguments.out / "images").mkdir(parents=True, exist_ok=True)
    return arguments


def choose_targets(faces: FaceSet, part: str, people: int, limit: int | None, seed: int) -> Targets:
    """Draw the people of a part and a photo of each; see the top of this file."""
    owners = np.array(faces.identities)[faces.labels]
    names, counts = np.unique(owners, return_counts=True)
    eligible = names[counts >= 2]
    order = eligible[numpy_generator(seed, "study inversion people").permutation(len(eligible))]
    chosen = order[:TUNING_PEOPLE] if part == "tuning" else order[TUNING_PEOPLE : TUNING_PEOPLE + people]
    if len(chosen) < (TUNING_PEOPLE if part == "tuning" else people):
        raise ConfigError(f"--faces has {len(eligible)} people with two photos; too few for the {part} part")
    rows = [
        int(numpy_generator(seed, "study inversion photo", str(name)).choice(np.flatnonzero(owners == name)))
        for name in chosen[:limit]
    ]
    return Targets(np.array(rows), owners, sha256_json([faces.records[row].sha256 for row in rows]))


class Study:
    """Inverts and scores; groups of targets that are finished are kept."""

    def __init__(self, arguments: argparse.Namespace, faces: FaceSet, targets: Targets) -> None:
        self._arguments, self._faces, self._targets = arguments, faces, targets
        self._finder = FaceFinder(torch.device("cpu"))
        self._first: dict[str, NDArray[np.float64]] = {}  # judge's cosines of the first arm, by direction

    def row(self, job: Job, journal: Journal) -> dict[str, Any]:
        """Return one row of the table."""
        groups, seconds = self._groups(job, journal)
        images = np.concatenate([group.images for group in groups])
        inverted, judge = DIRECTIONS[job.direction]
        same, judged = self._score(inverted, images), self._score(judge, images)
        cosines = judged.pop("cosines")
        realigned = detected = None
        if self._finder.knows:
            faces, found = self._finder.realign(images)
            realigned, detected = self._score(judge, faces, found), share(found)
            del realigned["cosines"], realigned["real_photos"]
        first = self._first.setdefault(job.direction, cosines)
        return {
            "arm": job.name,
            "idea": job.arm.idea,
            "template_only": job.arm.template_only,
            "inverted": inverted,
            "judge": judge,
            "steps": job.config.steps,
            "seconds_an_image": seconds,
            "detected": detected,
            "same_model": {name: value for name, value in same.items() if name != "cosines"},
            "judged": judged,
            "judged_realigned": realigned,
            "gain": summarise({"gain": Tally(cosines - first, np.ones(len(first)), is_share=False)}, self._owners),
        }

    @property
    def _owners(self) -> NDArray[np.str_]:
        return self._targets.owners[self._targets.rows]

    def summary(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return all there is to record."""
        inputs = {"faces": self._faces.manifest_sha256, "targets": self._targets.sha256}
        config = {name: getattr(self._arguments, name) for name in ("part", "compile", "half")}
        config["threads"] = torch.get_num_threads()
        configs = {name: to_json(ARMS[name].config(self._arguments.steps)) for name in self._arguments.arms}
        record = run_record("study_inversion", {**config, "arms": configs}, seed=self._arguments.seed, inputs=inputs)
        return {"n_targets": len(self._targets.rows), "rows": rows, "made_by": record}

    def _groups(self, job: Job, journal: Journal) -> tuple[list[GroupResult], float]:
        """Return the groups of a job and the seconds an image took, running those that are not there."""
        arguments, inverted = self._arguments, DIRECTIONS[job.direction][0]
        source = str(getattr(arguments, NEEDS.get(job.arm.uses or "", ""), None))
        parts = [to_json(job.config), inverted, self._targets.sha256, arguments.seed, job.arm.uses, source]
        parts += ["half"] if arguments.half else []
        key = sha256_json(parts)[:16]
        n_groups = -(-len(self._targets.rows) // job.config.group_size)
        files = [
            arguments.out / "images" / f"{job.name}-{job.direction}-{key}-{group:03d}.npz" for group in range(n_groups)
        ]
        known = {record["file"]: record["seconds"] for record in journal.records}
        skip = {group for group, file in enumerate(files) if file.name in known and file.exists()}
        if len(skip) < n_groups:
            targets = embed_faceset(self._faces, inverted).vectors[self._targets.rows]
            steps = inversion_steps(
                load_recognizer(inverted),
                targets,
                job.config,
                arguments.seed,
                skip=skip,
                compile_step=arguments.compile,
                half=arguments.half,
                extras=self._extras(job),
            )
            total, done = n_groups * job.config.steps, len(skip) * job.config.steps
            reports = track(steps, description=f"{job.name} {job.direction}", total=total, initial=done, unit="step")
            for group, seconds in timed_groups(reports):
                file = files[group.group]
                write_atomic(file, group.to_npz())
                journal.append({"file": file.name, "seconds": seconds})
                known[file.name] = seconds
        seconds = sum(known[file.name] for file in files)
        return [GroupResult.from_npz(file.read_bytes()) for file in files], seconds / len(self._targets.rows)

    def _extras(self, job: Job) -> Extras:
        if job.arm.uses == "validator":
            return Extras(validator=load_recognizer(SECOND))
        if job.arm.uses != "second recogniser":
            return extras_from_files(job.arm.uses, self._arguments.prior_faces, self._arguments.generator)
        return Extras(
            ensemble=[(load_recognizer(SECOND), embed_faceset(self._faces, SECOND).vectors[self._targets.rows])]
        )

    def _score(
        self, recognizer: str, images: NDArray[np.uint8], found: NDArray[np.bool_] | None = None
    ) -> dict[str, Any]:
        """Score images of all targets, or of those where a detector found a face: the others pass for nobody."""
        real = embed_faceset(self._faces, recognizer).vectors
        rows, seed = self._targets.rows, self._arguments.seed
        pairs = plan_pairs(self._owners, rows, self._targets.owners, seed=seed)
        bench = Bench(real[rows], self._owners, self._gallery(recognizer), rows, pairs)
        known = np.ones(len(rows), bool) if found is None else found
        embedded = np.zeros_like(real[rows])
        embedded[known] = load_recognizer(recognizer).embed(images)
        ceiling = score_images(real[rows], bench, real=True, seed=seed)
        cosines = np.einsum("nd,nd->n", embedded, real[rows]).astype(np.float64)
        return {**score_images(embedded, bench, seed=seed), "real_photos": ceiling, "cosines": cosines}

    @cache  # noqa: B019 (one study a process): its thresholds take seconds
    def _gallery(self, recognizer: str) -> Gallery:
        return Gallery(embed_faceset(self._faces, recognizer).vectors, self._targets.owners)


def timed_groups(
    reports: Iterator[Any], clock: Callable[[], float] = time.perf_counter
) -> Iterator[tuple[GroupResult, float]]:
    """Yield finished groups with their seconds: the median step times the steps, free of start and compilation."""
    steps, before = [], clock()
    for report in reports:
        now = clock()
        steps.append(now - before)
        if report.finished is not None:
            yield report.finished, float(np.median(steps)) * len(steps)
            steps = []
        before = clock()


def table(rows: list[dict[str, Any]]) -> str:
    """Return the table in Markdown; * marks what is not template-only."""
    heads = ["arm", "idea", "inverted", "same model", "judge", "gain", "other photos", "SAR-I", "SAR-II", "accuracy"]
    heads += ["face", "judge, re-aligned", "s / image"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        judged = row["judged"]
        name = row["arm"] + ("" if row["template_only"] else " *")
        cells = [name, row["idea"], row["inverted"], _figure(row["same_model"], "cosine_mean")]
        cells += [_figure(judged, "cosine_mean"), _figure(row["gain"], "gain"), _figure(judged, "cosine_other_photos")]
        cells += [_figure(judged, f"sar_type{kind}_at_fmr_1e-3") for kind in (1, 2)]
        cells.append(_figure(judged, "accuracy_one_side"))
        cells.append("-" if row["detected"] is None else f"{row['detected']['rate']:.3f}")
        cells.append("-" if row["judged_realigned"] is None else _figure(row["judged_realigned"], "cosine_mean"))
        lines.append(f"| {' | '.join([*cells, format(row['seconds_an_image'], '.1f')])} |")
    for judge, real in {row["judge"]: row["judged"]["real_photos"] for row in rows}.items():
        cells = ["real photos", f"{judge} judges", "", "", "", "", _figure(real, "cosine_other_photos"), ""]
        cells += [_figure(real, "sar_type2_at_fmr_1e-3"), _figure(real, "accuracy_one_side"), "", "", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _figure(scores: dict[str, Any], name: str) -> str:
    value, interval = scores.get(name), scores["intervals"].get(name)
    if value is None:
        return "-"
    return f"{value:.3f}" if interval is None else f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SynthfaceError as error:
        sys.exit(str(error))
