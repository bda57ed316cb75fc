"""Generate labelled faces of people who do not exist.

Image j of a class depends on (seed, class, j) alone: the same bytes with any number of processes, whatever else is
generated, and after an interruption. Each manifest line holds what made the image: generator, class or identity
code, seed, psi, noise mode and, where one was given, cutoff.

--identities mixed and sampled make people that are no training class. Candidates are numbered; one is kept if a
recogniser takes it for no training class of the generator and for no candidate kept before it, at a stated false match
rate. --classes 0-99 are the first hundred people kept; each is named after its candidate number.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gan.identities import Code, MixtureConfig, SampleConfig, mixed_identity, sampled_identity
from synthface.core.atomic import partial_path
from synthface.core.errors import ConfigError
from synthface.core.hashing import sha256_file
from synthface.core.run_record import run_record, to_json
from synthface.core.seeds import derive_seed
from synthface.models import GENERATOR, shipped_model
from synthface.workflows.compute import Compute, launch_fabric
from synthface.workflows.generating.drawing_again import drawing_facts
from synthface.workflows.generating.new_people import DistinctConfig, Kept, NewPeople
from synthface.workflows.progress import track

logger = logging.getLogger(__name__)

EXAMPLES = """
synthface generate --classes 0-99 --per-class 20 --out synthetic
synthface generate --generator runs/gan --identities sampled --classes 0-299 --per-class 20 --distinct.fmr 0 --out new
synthface generate --generator runs/gan --classes 0-99 --per-class 20 --out training-classes
synthface generate --generator runs/gan --identities mixed --classes 0-99 --distinct.fmr 0 --out unfiltered
synthface generate --generator model.safetensors --classes 0-9,40 --per-class 4 --psi 0.7 --out few --devices 2
synthface generate --classes 0-99 --per-class 20 --psi 0.5 --cutoff 4 --out usual-shapes
"""

_RANGE = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?", re.ASCII)
_MOST_CLASSES = 10_000_000  # a manifest of so many people still fits in memory
_STEP = 0x9E3779B1  # odd, so that multiples of it modulo 2^32 are all different

# Options, and the kinds of identities that they are about.
_MADE_WITH = {"mixture": ("mixed",), "sample": ("sampled",), "distinct": ("mixed", "sampled")}


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface generate``.

    Args:
        generator: generator file, or the folder of a training run; default is the one that ships with the package.
        out: FaceSet to write.
        classes: classes, or numbers of new people, such as 0-99 or 0-9,40,50-59; default is all classes.
        per_class: images a class; of a generator without classes, whose every image is somebody else, images in all.
        seed: the seed from which each image's own seed is derived.
        psi: truncation; 1 keeps the variety of the training, less moves every face towards the average one, more away
            from it: odder faces and more of them.
        cutoff: truncate the first so many layers only, from the coarsest, two for each resolution: shapes are as usual,
            colours and details keep their variety; default is all layers.
        noise_mode: const repeats the noise of the weights, random draws it from the image's seed, none leaves it out.
        identities: trained shows the training classes; mixed and sampled make people that are no training class, by
            averaging a few classes, whose people they still resemble, or by drawing from the distribution of all.
        mixture: how mixed identities are made.
        sample: how sampled identities are made.
        distinct: which mixed or sampled identities are kept.
    """

    out: Path
    generator: Path | None = None
    classes: str | None = None
    per_class: int = 20
    seed: int = 0
    psi: float = 1.0
    cutoff: int | None = None
    noise_mode: Literal["const", "random", "none"] = "const"
    identities: Literal["trained", "mixed", "sampled"] = "trained"
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    distinct: DistinctConfig = field(default_factory=DistinctConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.per_class < 1:
            raise ConfigError(f"--per-class {self.per_class}: give at least 1")
        if not 0 <= self.psi <= 2:
            raise ConfigError(f"--psi {self.psi}: give a value from 0 to 2")
        if self.cutoff is not None and self.cutoff < 1:
            raise ConfigError(f"--cutoff {self.cutoff}: give at least 1")
        if self.cutoff is not None and self.psi == 1:
            raise ConfigError(f"--cutoff {self.cutoff}: nothing is truncated at --psi 1; give --psi too")
        if self.classes is not None:
            parse_ranges(self.classes)
        self._check_settings_of_identities()

    def _check_settings_of_identities(self) -> None:
        """Refuse settings of new people where others are drawn, or training classes would pass for new people."""
        for name, kinds in _MADE_WITH.items():
            settings = getattr(self, name)
            if self.identities not in kinds and settings != type(settings)():
                raise ConfigError(
                    f"--{name}.*: without effect on --identities {self.identities}; give --identities "
                    f"{' or '.join(kinds)}, or leave it out"
                )


def parse_ranges(text: str) -> list[int]:
    """Turn ``0-9,40,50-59`` into a list of numbers in order, each once.

    Raises:
        ConfigError: the text is not of that form, or a number is beyond what a set may hold.
    """
    numbers: dict[int, None] = {}
    for part in text.split(","):
        found = _RANGE.fullmatch(part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, -1)
        if last < first:
            raise ConfigError(f"--classes {text}: write numbers and ranges such as 0-9,40,50-59")
        if last >= _MOST_CLASSES:
            raise ConfigError(f"--classes {text}: give numbers below {_MOST_CLASSES:,}")
        numbers.update(dict.fromkeys(range(first, last + 1)))
    return list(numbers)


def run(options: Options) -> None:
    """Generate the FaceSet."""
    from gan.sampling.images import draw_images
    from gan.weights import generator_file, load_generator, read_header
    from synthface.data import FaceSetWriter

    file = generator_file(options.generator or shipped_model(GENERATOR))
    header, digest = read_header(file), sha256_file(file)
    classes = _chosen_classes(options, int(header["n_classes"]))
    inputs = {"generator": digest, **(options.distinct.inputs() if options.identities != "trained" else {})}
    named = {"classes": classes} if header["n_classes"] else {"people": "one a seed"}
    if options.identities == "trained" and header["n_classes"] and "trained_on_manifest_sha256" in header["info"]:
        logger.warning("each of these identities is a class of the training set; --identities sampled makes new people")
    fabric = launch_fabric(options)
    G = load_generator(file, device=fabric.device)
    if options.cutoff is not None and options.cutoff > G.synthesis.n_w:
        raise ConfigError(f"--cutoff {options.cutoff}: the generator has {G.synthesis.n_w} layers")
    begin = partial(
        FaceSetWriter,
        options.out,
        kind="synthetic",
        record=run_record("generate", {**_deciding_options(options), **named}, seed=options.seed, inputs=inputs),
        extra={"generator": {"sha256": digest, **header["info"]}, "drawn_with": drawing_facts(fabric.device)},
        rank=fabric.global_rank,
    )
    # A set begun otherwise is refused before people are looked for; a new one begins when they are found, so that a
    # refusal leaves no folder that would bar the same --out to what it advises.
    writer = begin() if options.out.exists() or partial_path(options.out).exists() else None
    people = None if writer is not None and writer.is_complete else _people(options, classes, G, digest, fabric)
    with writer or begin() as writer:
        if not writer.is_complete:
            if people is not None and people.facts:
                writer.info["new_people"] = people.facts
            # Micro-batches are dealt out whole, so that an image meets the same arithmetic in any process.
            plan = list(_plan(options, classes, G.n_classes, people))
            mine = [item for chunk in _chunks(plan)[fabric.global_rank :: fabric.world_size] for item in chunk]
            to_do = [item for item in mine if not writer.done(item.key["path"])]
            drawn = draw_images(G, to_do, **_drawn_as(options))
            for request, image in track(
                drawn, description="generating", total=len(mine), initial=len(mine) - len(to_do)
            ):
                fields = {"seed": request.seed, "generator": digest, **_drawn_as(options)}
                writer.add(image=image, **request.key, **fields)
    fabric.barrier()
    if fabric.is_global_zero:
        faceset = writer.finish()
        print(f"{len(faceset):,} images of {faceset.n_identities:,} identities: {options.out}")


def _drawn_as(options: Options) -> dict[str, Any]:
    """Return how images are drawn, as ``draw_images`` takes it and as it is written down: no cutoff where none is."""
    cutoff = {} if options.cutoff is None else {"cutoff": options.cutoff}
    return {"psi": options.psi, "noise_mode": options.noise_mode, **cutoff}


def _deciding_options(options: Options) -> dict[str, Any]:
    """Return the options that decide the images."""
    decides = {"per_class": options.per_class, **_drawn_as(options), "identities": options.identities}
    if options.identities != "trained":
        made = options.mixture if options.identities == "mixed" else options.sample
        decides |= {"mixture" if options.identities == "mixed" else "sample": to_json(made)}
        decides["distinct"] = options.distinct.decides()
    return decides


def _people(options: Options, classes: list[int], G: Any, digest: str, fabric: Any) -> Kept | None:
    """Return the new people up to the last one asked for; None where training classes are shown."""
    if options.identities == "trained":
        return None
    finder = NewPeople(
        G,
        digest,
        options.distinct,
        code=lambda index: _code(options, G.n_classes, index),
        draw=_drawn_as(options),
        seed=derive_seed(options.seed, options.identities),
        fabric=fabric,
    )
    return finder.first(max(classes) + 1)


def _code(options: Options, n_classes: int, index: int) -> Code:
    if options.identities == "mixed":
        return mixed_identity(n_classes, index, options.seed, options.mixture)
    return sampled_identity(n_classes, index, options.seed, options.sample)


def _chosen_classes(options: Options, n_classes: int) -> list[int]:
    if options.classes is not None:
        classes = parse_ranges(options.classes)
    elif options.identities != "trained":
        raise ConfigError(
            f"--identities {options.identities}: say which and how many with --classes, for instance --classes 0-99"
        )
    else:
        classes = list(range(max(n_classes, 1)))
    if options.identities == "trained" and max(classes) >= max(n_classes, 1):
        raise ConfigError(f"--classes {options.classes}: the generator has classes 0 to {max(n_classes, 1) - 1}")
    return classes


def _plan(options: Options, classes: list[int], n_classes: int, people: Kept | None) -> Iterator[Any]:
    """Yield a request for each image; its key holds the fields of its record."""
    from gan.sampling.images import ImageRequest

    if not n_classes:
        for j in range(options.per_class):
            identity = f"seed-{j:06d}"
            key = {"path": f"images/{identity}/{0:05d}.png", "identity": identity}
            yield ImageRequest(seed=_seed_of_person(options.seed, j), code={}, key=key)
        return
    fields: dict[str, Any]
    for k in classes:
        if people is not None:
            number = people.candidates[k]
            code = _code(options, n_classes, number)
            identity = f"{options.identities}-{number:06d}"
            fields = {"code": {"classes": list(code), "weights": list(code.values())}}
        else:
            number, code, identity = k, {k: 1.0}, f"class-{k:06d}"
            fields = {"class_index": k}
        for j in range(options.per_class):
            key = {"path": f"images/{identity}/{j:05d}.png", "identity": identity, **fields}
            yield ImageRequest(seed=derive_seed(options.seed, options.identities, number, j), code=code, key=key)


def _seed_of_person(seed: int, index: int) -> int:
    """Return the seed of a person who is nothing but a seed: no two of a run have the same.

    Of seeds as torch reads them, 32 bits, derived ones would be alike for a hundred in a million people.
    """
    return (derive_seed(seed, "people") + _STEP * index) % 2**32


def _chunks(plan: list[Any]) -> list[list[Any]]:
    from gan.sampling.images import MICRO_BATCH

    return [plan[start : start + MICRO_BATCH] for start in range(0, len(plan), MICRO_BATCH)]
