"""Turn embeddings back into images, and let other recognisers judge how much of the person they show.

Pixels are optimised until the recogniser's embedding is the target's, under a prior from its batch-norm statistics;
no generator and no faces are used. The result is a FaceSet of kind "inverted" with results.json, a contact sheet and
index.html. An image that convinces the inverted recogniser proves little; --judges measures what others see in it.
Groups of targets that are finished are kept: an interrupted run goes on from there.
"""

import json
import logging
import shutil
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from synthface.core.atomic import write_atomic
from synthface.core.errors import ConfigError, DataError
from synthface.core.hashing import sha256_file
from synthface.core.run_record import run_record, to_json, write_json
from synthface.data import Embeddings, FaceSet, FaceSetWriter
from synthface.data.images import decode_image, encode_png
from synthface.workflows.compute import Compute, launch_fabric
from synthface.workflows.embed import embed_faceset
from synthface.workflows.inversion_scores import Grader, make_grader, non_mated_rows, table
from synthface.workflows.progress import track

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from inversion import InversionConfig
    from inversion.target_file import TargetSet
    from synthface.recognition.catalogue import WeightFile

EXAMPLES = """
synthface invert --recognizer mobilefacenet-ms1m --faces faces --limit 32 --judges mobilefacenet-casia --out inverted
synthface invert --recognizer synthface-small --embeddings stolen.npy --out inverted
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface invert``.

    Args:
        recognizer: the recogniser that made the embeddings, by name or path; it must keep its batch-norm layers.
        out: folder to write: a FaceSet, with results.json and index.html.
        embeddings: targets: .npz of 'synthface embed', or .npy with one row a target.
        faces: targets: a FaceSet, embedded first; its pictures stand beside the results.
        judges: other recognisers that score the images; needs --faces.
        preset: fast, quality (more steps), or paper (20,000 steps: a GPU's work).
        steps: another number of steps than the preset's.
        seed: seed of the choice of targets, of starts and of views.
        limit: invert only so many targets, drawn at random.
        control: also invert without the batch-norm prior, to show what it does; takes as long again.
        threshold_pairs: take thresholds from the non-mated pairs of this file (format of LFW's pairs.txt) instead of
            all cross-identity pairs.
        compile: compile each step; worth it for many targets.
    """

    recognizer: str
    out: Path
    embeddings: Path | None = None
    faces: Path | None = None
    judges: list[str] = field(default_factory=list)
    preset: Literal["fast", "quality", "paper"] = "fast"
    steps: int | None = None
    seed: int = 0
    limit: int | None = None
    control: bool = False
    threshold_pairs: Path | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.embeddings is None) == (self.faces is None):
            raise ConfigError("give the targets by --embeddings or by --faces, one of them")
        if self.faces is None and (self.judges or self.threshold_pairs):
            raise ConfigError("--judges and --threshold-pairs compare with pictures; give the targets by --faces")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"--limit {self.limit}: give at least 1")
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"--steps {self.steps}: give at least 1")
        if len(set(self.judges)) != len(self.judges):
            raise ConfigError("--judges names one recogniser twice")


def run(options: Options) -> int:
    """Invert, score and write the page."""
    from inversion import check_dimension
    from synthface.recognition import load_recognizer
    from synthface.recognition.catalogue import find_weights

    weights = find_weights(options.recognizer)
    judges = {judge.name: judge for judge in map(find_weights, options.judges)}
    _check_judges(options, weights, judges)
    faceset = FaceSet.load(options.faces, flag="--faces") if options.faces else None
    targets = _read_targets(options, faceset, weights)
    pairs = non_mated_rows(options.threshold_pairs, faceset) if options.threshold_pairs and faceset else None
    seen = [embed_faceset(faceset, name, compute=options) for name in options.judges] if faceset else []
    fabric = launch_fabric(options)
    recognizer = load_recognizer(options.recognizer, device=fabric.device)
    check_dimension(recognizer, targets.vectors.shape[1])
    writer = FaceSetWriter(
        options.out, kind="inverted", record=_record(options, faceset, weights, judges), rank=fabric.global_rank
    )
    with writer:
        if not writer.is_complete:
            _optimise(options, recognizer, targets, writer.working, fabric)
            fabric.barrier()
            if fabric.is_global_zero:
                graders = [make_grader(recognizer, targets, targets.everything, pairs, options.seed, inverted=True)]
                for name, collection in zip(options.judges, seen, strict=True):
                    judge = load_recognizer(name, device=fabric.device)
                    graders.append(make_grader(judge, targets, collection, pairs, options.seed))
                _write(options, faceset, targets, graders, writer)
    fabric.barrier()
    if fabric.is_global_zero:
        sys.stdout.write(table(json.loads((options.out / "results.json").read_text(encoding="utf-8"))))
    return 0


def _check_judges(options: Options, weights: "WeightFile", judges: "dict[str, WeightFile]") -> None:
    if len(judges) < len(options.judges):
        raise ConfigError("--judges: two have the same name; rename one of the files")
    for judge in judges.values():
        if judge.sha256 == weights.sha256:
            raise ConfigError(f"--judges {judge.name} is the inverted recogniser; what fools it proves nothing")


def _read_targets(options: Options, faceset: FaceSet | None, weights: "WeightFile") -> "TargetSet":
    from inversion.target_file import TargetSet, read_array

    if faceset is not None:
        return TargetSet.choose(
            embed_faceset(faceset, options.recognizer, compute=options), options.limit, options.seed
        )
    assert options.embeddings is not None
    if options.embeddings.suffix == ".npy":
        return TargetSet.from_array(read_array(options.embeddings), options.limit, options.seed)
    embeddings = Embeddings.load(options.embeddings, flag="--embeddings")
    made_by = embeddings.info.get("recognizer_sha256", weights.sha256)
    if made_by != weights.sha256:
        maker = embeddings.info.get("recognizer", "another recogniser")
        raise DataError(
            f"--embeddings {options.embeddings} were made by {maker}, not by {weights.name}; give that to --recognizer"
        )
    return TargetSet.choose(embeddings, options.limit, options.seed)


def _configs(options: Options) -> "dict[str, InversionConfig]":
    """Return what each kind of image is made with; the folder of the images is the key."""
    from inversion import PRESETS

    config = PRESETS[options.preset]
    if options.steps is not None:
        config = replace(config, steps=options.steps)
    return {"images": config} | ({"control": replace(config, prior_weight=0.0)} if options.control else {})


def _record(
    options: Options, faceset: FaceSet | None, weights: "WeightFile", judges: "dict[str, WeightFile]"
) -> dict[str, Any]:
    config = {
        "recognizer": weights.name,
        "judges": list(judges),
        "inversion": _configs(options)["images"],
        "limit": options.limit,
        "control": options.control,
        "compile": options.compile,
    }
    inputs = {"recognizer": weights.sha256, **{f"judge {name}": judge.sha256 for name, judge in judges.items()}}
    if faceset is not None:
        inputs["faces"] = faceset.manifest_sha256
    for name in ("embeddings", "threshold_pairs"):
        path = getattr(options, name)
        if path is not None:
            inputs[name] = sha256_file(path)
    return run_record("invert", config, seed=options.seed, inputs=inputs)


def _optimise(options: Options, recognizer: Any, targets: "TargetSet", working: Path, fabric: Any) -> None:
    """Optimise the groups that have no file yet; each process takes every so-many-th group."""
    from inversion import inversion_steps

    for kind, config in _configs(options).items():
        n_groups = -(-len(targets.vectors) // config.group_size)
        mine = set(range(fabric.global_rank, n_groups, fabric.world_size))
        done = {group for group in mine if _group_file(working, kind, group).exists()}
        skip = set(range(n_groups)) - (mine - done)
        steps = inversion_steps(
            recognizer, targets.vectors, config, options.seed, skip=skip, compile_step=options.compile
        )
        reports = track(
            steps,
            description="inverting" if kind == "images" else "control without prior",
            total=len(mine) * config.steps,
            initial=len(done) * config.steps,
            unit="step",
        )
        for report in reports:
            if report.finished is not None:
                file = _group_file(working, kind, report.group)
                file.parent.mkdir(exist_ok=True)
                write_atomic(file, report.finished.to_npz())


def _group_file(working: Path, kind: str, group: int) -> Path:
    return working / "groups" / f"{kind}-{group:05d}.npz"


def _write(
    options: Options,
    faceset: FaceSet | None,
    targets: "TargetSet",
    graders: list[Grader],
    writer: FaceSetWriter,
) -> None:
    """Save the images, score what was saved, and write results, sheet, curves and page."""
    from inversion import GroupResult, InversionResult
    from synthface.report.inversion_page import write_inversion_page

    arms, pictures, scores = {}, {}, {}
    for kind in _configs(options):
        files = sorted((writer.working / "groups").glob(f"{kind}-*.npz"))
        arms[kind] = InversionResult.join([GroupResult.from_npz(file.read_bytes()) for file in files])
        pictures[kind] = _save_and_read_back(kind, arms[kind].images, targets, writer, options.seed)
        inverted, *judges = (grader.score(pictures[kind], targets.identities, options.seed) for grader in graders)
        names = [grader.recognizer.name for grader in graders[1:]]
        scores[kind] = {"same_model": inverted, "judges": dict(zip(names, judges, strict=True))}
    results = {
        "n_targets": len(targets.vectors),
        "recognizer": graders[0].recognizer.name,
        "preset": options.preset,
        **scores["images"],
        "control": scores.get("control"),
        "made_by": writer.info["made_by"],
    }
    if faceset is not None:
        pictures["sources"] = faceset.read_images(targets.rows, 112, 112)
    history = {kind: arm.history for kind, arm in arms.items()}
    write_inversion_page(writer.working, to_json(results), pictures, history)
    write_json(writer.working / "results.json", results)
    writer.finish()
    shutil.rmtree(options.out / "groups")


def _save_and_read_back(
    kind: str, images: "NDArray[np.uint8]", targets: "TargetSet", writer: FaceSetWriter, seed: int
) -> "NDArray[np.uint8]":
    """Write the images (the control's beside the set, not in it) and return what stands in the files."""
    saved = []
    (writer.working / kind).mkdir(exist_ok=True)
    for k, image in enumerate(images):
        path = f"{kind}/{k:05d}.png"
        if kind == "images" and not writer.done(path):
            identity, source = str(targets.identities[k]), str(targets.names[k])
            writer.add(path, image, identity=identity, source=source, seed=seed)
        elif kind != "images":
            write_atomic(writer.working / path, encode_png(image))
        saved.append(decode_image((writer.working / path).read_bytes()))
    return np.stack(saved)
