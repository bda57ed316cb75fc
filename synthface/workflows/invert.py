"""Turn embeddings back into images, and let other recognisers judge how much of the person they show.

Pixels are optimised until the recogniser's embedding is the target's, under a prior from its batch-norm statistics;
no generator and no faces are used. The result is a FaceSet of kind "inverted" with results.json, a contact sheet, the
progress of a few images (progress.png, progress.gif), index.html, and report_public.html, which shows no real person.

Targets are photos (--faces), embeddings (--embeddings) or class centres (--centres); --interpolate goes from one to
another, and --sample makes people who do not exist. An image that convinces the inverted recogniser proves little;
--judges measures what others see in it. Every constant of the optimisation is an option, --inversion.KEY, over those
of the preset. Groups of targets that are finished are kept: an interrupted run goes on from there.
"""

import json
import logging
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthface.core.errors import ConfigError
from synthface.core.hashing import sha256_bytes, sha256_file
from synthface.core.run_record import run_record, write_json
from synthface.data import Embeddings, FaceSet, FaceSetWriter
from synthface.workflows.compute import Compute, launch_fabric
from synthface.workflows.embed import embed_faceset
from synthface.workflows.inverting.arms import Overrides, inversion_config
from synthface.workflows.inverting.option_rules import check_options

if TYPE_CHECKING:
    from synthface.recognition import Recognizer
    from synthface.recognition.catalogue import WeightFile
    from synthface.workflows.inverting.arms import Arm
    from synthface.workflows.inverting.targets import Chosen

EXAMPLES = """
synthface invert --recognizer mobilefacenet-ms1m --faces faces --limit 32 --judges mobilefacenet-casia --out inverted
synthface invert --recognizer synthface-small --embeddings stolen.npy --out inverted
synthface invert --recognizer net.safetensors --centres head.npy --limit 64 --out classes
synthface invert --recognizer synthface-small --faces faces --interpolate person-a person-b --between 6 --out between
synthface invert --recognizer synthface-small --faces faces --sample 500 --per-identity 4 --out new-people
synthface invert --recognizer synthface-small --faces faces --protect quantise --strengths 8 2 1 --out templates
synthface invert --recognizer synthface-small --faces faces --limit 64 --preset quality --inversion.steps 600 --out more
"""

logger = logging.getLogger(__name__)
Latent = Literal["w", "z"]


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface invert``.

    Args:
        recognizer: the recogniser that made the embeddings, by name or path; it must keep its batch-norm layers.
        out: folder to write: a FaceSet, with results.json and index.html.
        faces: targets: a FaceSet, embedded first; its pictures stand beside the results.
        embeddings: targets: .npz of 'synthface embed', or .npy or .npz with a matrix of one row a target.
        centres: targets: class centres of a recognition head, in .npy, .npz or .safetensors.
        judges: other recognisers that score the images and do nothing else; needs --faces. With --sample they say
            whether they, too, tell the people apart.
        validator: a recogniser that chooses among the --inversion.candidates of a target; never a judge.
        ensemble: further recognisers whose templates of the targets are known too, and matched; needs --faces. Like
            --generator and --prior-faces, more than a thief of templates has; results say so.
        generator: file or run of 'synthface train-gan' whose latents are optimised first.
        latent: which latents of the generator: w, or z and the class together.
        prior_faces: FaceSet of other people, of whom --prior-uses says what is made; photos of the people whom --faces,
            or embeddings of 'synthface embed', name as targets or as ends of --interpolate are left out. Other targets
            have no names: give people who are none of them.
        prior_uses: what of them is used: components (principal ones, optimised first), mean (a face to start from),
            statistics (of the recogniser's features, for one that keeps no batch-norm layers).
        preset: settings of the optimisation: fast, quality (best of three), or paper (20,000 steps: a GPU's work).
        inversion: constants of the optimisation, instead of the preset's.
        steps: short for --inversion.steps.
        seed: seed of the choice of targets, of starts and of views.
        limit: invert only so many targets, drawn at random.
        photos_per_person: choose people instead of photos, and so many photos of each who has more than one.
        skip_people: with --photos-per-person, leave out the first so many of the people, to tune on.
        per_identity: images of each target, from different starts.
        interpolate: two identities, images or row numbers of the targets, to go from one to the other.
        between: images between the two.
        sample: instead of the targets themselves, so many people who are distributed like them, and are none of them.
        distinct_fmr: with --sample, no two people, and nobody and a real one, match at this false match rate.
        control: also invert without the batch-norm prior, to show what it does; takes as long again.
        protect: also invert templates protected by a function of embeddings: quantise, noise, project, or
            module:function; takes as long again for each strength.
        strengths: second argument of that function: bits for quantise and project, relative length for noise.
        compile: compile each step; worth it for many targets.
        half: compute convolutions in bfloat16; quicker where the processor has instructions for it.
    """

    recognizer: str
    out: Path
    faces: Path | None = None
    embeddings: Path | None = None
    centres: Path | None = None
    judges: list[str] = field(default_factory=list)
    validator: str | None = None
    ensemble: list[str] = field(default_factory=list)
    generator: Path | None = None
    latent: Latent = "w"
    prior_faces: Path | None = None
    prior_uses: list[Literal["components", "mean", "statistics"]] = field(default_factory=lambda: ["components"])
    preset: str = "fast"
    inversion: Overrides = field(default_factory=Overrides)
    steps: int | None = None
    seed: int = 0
    limit: int | None = None
    photos_per_person: int | None = None
    skip_people: int = 0
    per_identity: int = 1
    interpolate: list[str] = field(default_factory=list)
    between: int = 6
    sample: int | None = None
    distinct_fmr: float = 1e-3
    control: bool = False
    protect: str | None = None
    strengths: list[float] = field(default_factory=list)
    compile: bool = False
    half: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self)


def run(options: Options) -> int:
    """Invert, score and write the page."""
    from inversion import check_dimension
    from synthface.recognition import load_recognizer
    from synthface.recognition.catalogue import find_weights
    from synthface.workflows.inverting.arms import plan_arms
    from synthface.workflows.inverting.means import check_means, gather_means
    from synthface.workflows.inverting.results import table
    from synthface.workflows.inverting.running import GROUPS, run_arm
    from synthface.workflows.inverting.targets import choose_targets

    inversion_config(options)  # its own checks, before anything is computed
    weights = find_weights(options.recognizer)
    judges = {judge.name: judge for judge in map(find_weights, options.judges)}
    _check_judges(options, weights, judges)
    check_means(options)
    faceset = FaceSet.load(options.faces, flag="--faces") if options.faces else None
    fabric = launch_fabric(options)
    recognizer = load_recognizer(options.recognizer, device=fabric.device)
    chosen = choose_targets(options, faceset, weights, recognizer.embedding_dim)
    check_dimension(recognizer, chosen.targets.vectors.shape[1])
    means = gather_means(options, chosen, faceset, recognizer, fabric.device)
    arms = plan_arms(options, recognizer, chosen.targets, means)
    record = _record(options, faceset, weights, judges, arms)
    writer = FaceSetWriter(options.out, kind="inverted", record=record, rank=fabric.global_rank)
    with writer:
        if not writer.is_complete:
            galleries = _galleries(options, faceset)  # here, where all processes take part
            for arm in arms:
                run_arm(arm, chosen.targets, writer, fabric, options)
            fabric.barrier()
            if fabric.is_global_zero:
                _finish(options, chosen, arms, recognizer, faceset, galleries, writer, fabric.device)
    fabric.barrier()
    if fabric.is_global_zero:
        if (options.out / GROUPS).exists():  # of this run, or of one that was killed right here
            shutil.rmtree(options.out / GROUPS)
        sys.stdout.write(table(json.loads((options.out / "results.json").read_text(encoding="utf-8"))))
    return 0


def _check_judges(options: Options, weights: "WeightFile", judges: "dict[str, WeightFile]") -> None:
    if len(judges) < len(options.judges):
        raise ConfigError("--judges: two have the same name; rename one of the files")
    for judge in judges.values():
        if judge.sha256 == weights.sha256:
            raise ConfigError(f"--judges {judge.name} is the inverted recogniser; what fools it proves nothing")


def _galleries(options: Options, faceset: FaceSet | None) -> dict[str, Embeddings]:
    """Return what each judge makes of all photos, as --judges names it."""
    if faceset is None:
        return {}
    return {name: embed_faceset(faceset, name, compute=options) for name in options.judges}


def _record(
    options: Options,
    faceset: FaceSet | None,
    weights: "WeightFile",
    judges: "dict[str, WeightFile]",
    arms: "list[Arm]",
) -> dict[str, Any]:
    from synthface.workflows.inverting.means import hashes_of_means

    made = ("interpolate", "between") if options.interpolate else ("sample", "distinct_fmr") if options.sample else ()
    chosen = ("limit", "photos_per_person", "skip_people", "per_identity", "control", "protect", "strengths")
    config = {
        "recognizer": weights.name,
        "judges": list(judges),
        "inversion": arms[0].config,
        "prior_uses": options.prior_uses if options.prior_faces else [],
        **({"latent": options.latent} if options.generator is not None else {}),
        **{name: getattr(options, name) for name in (*chosen, *made, "compile", "half")},
    }
    inputs = {"recognizer": weights.sha256, **{f"judge {name}": judge.sha256 for name, judge in judges.items()}}
    inputs |= hashes_of_means(options)
    if faceset is not None:
        inputs["faces"] = faceset.manifest_sha256
    for name in ("embeddings", "centres"):
        path = getattr(options, name)
        if path is not None:
            inputs[name] = sha256_file(path)
    for arm in arms:  # what a function of the user's did is known by its result alone
        if arm.name.startswith("protected"):
            inputs[f"templates {arm.name}"] = sha256_bytes(arm.vectors.tobytes())
    return run_record("invert", config, seed=options.seed, inputs=inputs)


def _finish(
    options: Options,
    chosen: "Chosen",
    arms: "list[Arm]",
    recognizer: "Recognizer",
    faceset: FaceSet | None,
    galleries: dict[str, Embeddings],
    writer: FaceSetWriter,
    device: Any,
) -> None:
    """Score what was saved, and write results, pictures and pages; for one process, the others wait."""
    from synthface.recognition import load_recognizer
    from synthface.workflows.inverting.apartness import measure_apartness
    from synthface.workflows.inverting.grading import make_grader
    from synthface.workflows.inverting.pages import write_pages
    from synthface.workflows.inverting.results import collect_results

    targets = chosen.targets
    graders = [make_grader(recognizer, targets, targets.collection, options.seed, inverted=True)]
    separation = None
    if chosen.origin == "sample":  # there are no pictures to compare with; judges say whether people are apart
        separation = measure_apartness(options, arms[0], graders[0], chosen, galleries, writer.working, device)
    for name, collection in galleries.items() if separation is None else ():
        judge = load_recognizer(name, device=device)
        graders.append(make_grader(judge, targets, collection, options.seed, inverted=False))
    results = collect_results(
        arms,
        graders,
        chosen,
        faceset,
        writer.working,
        preset=options.preset,
        protection=options.protect,
        separation=separation,
        made_by=writer.info["made_by"],
        device=device,
    )
    write_json(writer.working / "results.json", results)
    write_pages(results, arms, chosen, faceset, writer.working)
    writer.finish()
