"""Do the people a recogniser was trained on come back from it more than people it never saw?

    python scripts/red_team_inversion.py --train split/train --holdout split/holdout --people 128 --out red-team

The recogniser that ships was published without its classification head. Whoever holds the weights and an embedding of
somebody can invert it all the same, and a network might answer for the people it learned from more fully than for
strangers. For each of so many training people and hold-out people, drawn at random, the unit mean of the embeddings
of half of their photos, which is what a class centre comes to, is inverted. A judge that was trained elsewhere compares
each image with the person's other photos, in which the inverted vector had no part. The judge knows some faces better
than others, which has nothing to do with inversion: so the cosine that the mean of the photos in the centre reaches
under the judge is taken away, and what is left is permuted between training and hold-out people.

With --generated, the same is done with the classes of a generated FaceSet: each class centre is inverted, and the
image's nearest training person is compared with its nearest hold-out person, as many of both, by permuting who is
which. Writes red_team.json; it names nobody. Stopped, it goes on where it was.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inversion import PRESETS, GroupResult, inversion_steps
from synthface.core.atomic import write_atomic
from synthface.core.errors import ConfigError, SynthfaceError
from synthface.core.hashing import sha256_json
from synthface.core.heap import keep_freed_memory
from synthface.core.run_record import run_record, write_json
from synthface.core.seeds import numpy_generator
from synthface.data import Embeddings, FaceSet
from synthface.recognition import load_recognizer
from synthface.workflows.embed import embed_faceset
from synthface.workflows.progress import track

Vectors = NDArray[np.float32]
LEAST_PHOTOS = 2
PERMUTATIONS = 9_999


@dataclass(frozen=True)
class People:
    """People to be inverted, and what is left to recognise them by.

    Attributes:
        centres: [N, D] unit mean of one half of each one's photos, under the inverted recogniser.
        inside: N lists of rows, the photos in that mean.
        outside: N lists of rows, the other photos.
    """

    centres: Vectors
    inside: list[NDArray[np.int64]]
    outside: list[NDArray[np.int64]]


def choose_people(embeddings: Embeddings, n: int, seed: int, part: str) -> People:
    """Draw people with two photos or more and divide each one's photos at random."""
    generator = numpy_generator(seed, "red team", part)
    names, counts = np.unique(embeddings.identities, return_counts=True)
    able = names[counts >= LEAST_PHOTOS]
    if len(able) < n:
        raise ConfigError(f"--people {n}: the {part} part has {len(able)} people with {LEAST_PHOTOS} photos or more")
    inside, outside, centres = [], [], []
    for name in generator.choice(able, n, replace=False):
        rows = generator.permutation(np.flatnonzero(embeddings.identities == name))
        inside.append(rows[: len(rows) // 2])
        outside.append(rows[len(rows) // 2 :])
        centres.append(embeddings.vectors[inside[-1]].mean(axis=0))
    return People(unit(np.stack(centres)), inside, outside)


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """Bring rows to unit length."""
    wide = np.asarray(vectors, dtype=np.float64)
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)


def similarities(images: Vectors, people: People, judged: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each image's mean cosine with the photos outside its centre, and that of the photos inside it, [N]."""
    made = [float((judged[rows] @ image).mean()) for image, rows in zip(images, people.outside, strict=True)]
    real = [
        float((judged[rows] @ unit(judged[inside].mean(axis=0, keepdims=True))[0]).mean())
        for inside, rows in zip(people.inside, people.outside, strict=True)
    ]
    return np.array(made), np.array(real)


def permutation_test(first: NDArray[np.float64], second: NDArray[np.float64], seed: int) -> dict[str, Any]:
    """Return the difference of means and the one-sided p that labels drawn at random give at least as much."""
    values = np.concatenate([first, second])
    observed = float(first.mean() - second.mean())
    generator = numpy_generator(seed, "red team permutation")
    above = 1
    for _ in range(PERMUTATIONS):
        shuffled = generator.permutation(values)
        above += shuffled[: len(first)].mean() - shuffled[len(first) :].mean() >= observed - 1e-12
    spread = float(np.hypot(first.std(ddof=1) / len(first) ** 0.5, second.std(ddof=1) / len(second) ** 0.5))
    interval = [observed - 1.96 * spread, observed + 1.96 * spread]
    return {"difference": observed, "interval": interval, "p": int(above) / (PERMUTATIONS + 1)}


def invert_all(recognizer: Any, centres: Vectors, arguments: argparse.Namespace, name: str) -> NDArray[np.uint8]:
    """Invert vectors group by group; finished groups are read from their files."""
    config = PRESETS[arguments.preset]
    if arguments.steps is not None:
        config = replace(config, steps=arguments.steps)
    key = sha256_json([centres.tolist(), repr(config), recognizer.sha256, arguments.seed])[:16]
    folder = arguments.out / "groups"
    folder.mkdir(parents=True, exist_ok=True)
    n_groups = -(-len(centres) // config.group_size)
    files = {group: folder / f"{name}-{key}-{group:04d}.npz" for group in range(n_groups)}
    skip = [group for group, file in files.items() if file.exists()]
    steps = inversion_steps(recognizer, centres, config, arguments.seed, skip=skip, compile_step=arguments.compile)
    total, done = n_groups * config.steps, len(skip) * config.steps
    for report in track(steps, description=name, total=total, initial=done, unit="step"):
        if report.finished is not None:
            write_atomic(files[report.group], report.finished.to_npz())
    return np.concatenate([GroupResult.from_npz(file.read_bytes()).images for file in files.values()])


def people_test(arguments: argparse.Namespace, recognizer: Any, judge: Any) -> dict[str, Any]:
    """Invert training and hold-out people and compare how much of them comes back."""
    made, real = {}, {}
    for part in ("train", "holdout"):
        faces = FaceSet.load(getattr(arguments, part), kinds=["real"], flag=f"--{part}")
        people = choose_people(embed_faceset(faces, arguments.recognizer), arguments.people, arguments.seed, part)
        images = judge.embed(invert_all(recognizer, people.centres, arguments, part))
        made[part], real[part] = similarities(images, people, embed_faceset(faces, arguments.judge).vectors)
    excess = {part: made[part] - real[part] for part in made}
    return {
        "people_each": arguments.people,
        "cosine_of_images": {part: float(values.mean()) for part, values in made.items()},
        "cosine_of_photos": {part: float(values.mean()) for part, values in real.items()},
        "images": permutation_test(made["train"], made["holdout"], arguments.seed),
        "photos": permutation_test(real["train"], real["holdout"], arguments.seed),
        "images_less_photos": permutation_test(excess["train"], excess["holdout"], arguments.seed),
    }


def class_test(arguments: argparse.Namespace, recognizer: Any, judge: Any) -> dict[str, Any]:
    """Invert the centres of generated classes and compare the nearest training with the nearest hold-out person."""
    generated = embed_faceset(FaceSet.load(arguments.generated, flag="--generated"), arguments.recognizer)
    names = np.unique(generated.identities)
    if len(names) > arguments.people:
        generator = numpy_generator(arguments.seed, "red team", "classes")
        names = np.sort(generator.choice(names, arguments.people, replace=False))
    centres = unit(np.stack([generated.vectors[generated.identities == name].mean(axis=0) for name in names]))
    images = judge.embed(invert_all(recognizer, centres, arguments, "classes"))
    nearest = {part: best_by_person(images, part, arguments) for part in ("train", "holdout")}
    n = min(values.shape[1] for values in nearest.values())
    generator = numpy_generator(arguments.seed, "red team", "nearest")
    scores = np.concatenate(
        [values[:, generator.choice(values.shape[1], n, replace=False)] for values in nearest.values()], axis=1
    )
    observed = difference_of_nearest(scores, np.arange(2 * n) < n)
    above = 1
    for _ in range(PERMUTATIONS // 10):
        above += difference_of_nearest(scores, generator.permutation(np.arange(2 * n)) < n) >= observed - 1e-12
    return {
        "classes": len(names),
        "people_each": n,
        "nearest_train": float(scores[:, :n].max(axis=1).mean()),
        "nearest_holdout": float(scores[:, n:].max(axis=1).mean()),
        "difference": observed,
        "p": int(above) / (PERMUTATIONS // 10 + 1),
    }


def best_by_person(images: Vectors, part: str, arguments: argparse.Namespace) -> Vectors:
    """Return each image's cosine with each person's first photo, [N, P]: one photo, so that nobody has more tries."""
    known = embed_faceset(FaceSet.load(getattr(arguments, part), kinds=["real"], flag=f"--{part}"), arguments.judge)
    first = np.unique(known.identities, return_index=True)[1]
    scores: Vectors = images @ known.vectors[first].T
    return scores


def difference_of_nearest(scores: Vectors, is_first: NDArray[np.bool_]) -> float:
    """Return how much nearer, on average, an image's nearest person of the first kind is."""
    return float((scores[:, is_first].max(axis=1) - scores[:, ~is_first].max(axis=1)).mean())


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="FaceSet the recogniser was trained on")
    parser.add_argument("--holdout", type=Path, required=True, help="FaceSet of other people from the same source")
    parser.add_argument("--generated", type=Path, help="generated FaceSet, whose classes are inverted too")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recognizer", default="synthface-small", help="the recogniser that is inverted")
    parser.add_argument("--judge", default="mobilefacenet-ms1m", help="a recogniser trained elsewhere")
    parser.add_argument("--people", type=int, default=128, help="people of each kind, and classes at most")
    parser.add_argument("--preset", default="fast", choices=sorted(PRESETS))
    parser.add_argument("--steps", type=int, help="another number of steps than the preset's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="compile each step")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Run the tests and write what they found."""
    arguments = parse(words)
    keep_freed_memory()
    try:
        if arguments.people < 2:
            raise ConfigError("--people is at least 2")
        recognizer, judge = load_recognizer(arguments.recognizer), load_recognizer(arguments.judge)
        if recognizer.sha256 == judge.sha256:
            raise ConfigError("--judge is the inverted recogniser; what it sees in its own images proves nothing")
        results: dict[str, Any] = {"people": people_test(arguments, recognizer, judge)}
        if arguments.generated is not None:
            results["classes"] = class_test(arguments, recognizer, judge)
        names = ("recognizer", "judge", "people", "preset", "steps", "compile")
        config = {name: getattr(arguments, name) for name in names}
        inputs = {"recognizer": recognizer.sha256, "judge": judge.sha256}
        for part in ("train", "holdout", "generated"):
            if getattr(arguments, part) is not None:
                inputs[part] = FaceSet.load(getattr(arguments, part)).manifest_sha256
        results["made_by"] = run_record("red_team_inversion", config, seed=arguments.seed, inputs=inputs)
        write_json(arguments.out / "red_team.json", results)
    except SynthfaceError as error:
        print(f"red_team_inversion: error: {error}", file=sys.stderr)
        return 3
    for name, found in results["people"].items():
        if isinstance(found, dict) and "p" in found:
            low, high = found["interval"]
            print(f"{name}: training less hold-out {found['difference']:+.4f} ({low:+.4f} to {high:+.4f}),", end=" ")
            print(f"p {found['p']:.4f}")
    if "classes" in results:
        found = results["classes"]
        print(f"nearest person, training less hold-out: {found['difference']:+.4f}, p {found['p']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
