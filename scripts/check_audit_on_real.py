"""Check the audit on real people: it must say FAIL where it should, and not where it should not.

Takes the folder written by 'synthface split' and puts real photos in the place of a synthetic set:

a  half the photos of each training person pose as the synthetic class of that label, the other half stay in the
   training set. The audit must say FAIL, with near-certain label linkage.
b  a random half of the placebo people pose as the synthetic set, the other half stay the placebo; training set and
   hold-out are dealt out anew from their people. The audit must never say FAIL.
c  as b, but 1 % of the images are photos of training people. The audit must say FAIL.
d  training photos, mirrored and saved as JPEG of quality 30, among the images of b. Each must be found. The same
   photos cropped by up to 5 % at each edge as well are counted beside it; nothing is demanded of these.

Collections hold some people under two names: placebo people whom a recogniser takes for somebody in the training set
or the hold-out are left out first, and counted. Nothing is printed but counts and figures. Exit code 1 if the audit is
wrong anywhere.
"""

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import SynthfaceError
from synthface.core.run_record import to_json, write_json
from synthface.core.seeds import numpy_generator
from synthface.data import FaceSet
from synthface.privacy import AuditConfig, Embeddings, Verdict, audit
from synthface.privacy.gallery import build_gallery
from synthface.privacy.overlap import look_alikes
from synthface.privacy.plant_search import search_plants
from synthface.privacy.plants import PlantOutcome
from synthface.privacy.signatures import ImageSignatures
from synthface.workflows.auditing.inputs import signatures_of
from synthface.workflows.auditing.planting import Plan, PlannedImage, make_plants
from synthface.workflows.embed import embed_faceset

ROLES = ("train", "holdout", "placebo")
LEAKED_SHARE = 0.01
SURE = 20.0  # one person in both, under two names, would stand for chance and hide copies that are as near
COPIES = 299  # all found: at least 99 % of all copies are, with 95 % confidence


@dataclass(frozen=True)
class Photos:
    """Photos as an audit takes them."""

    sets: dict[str, Embeddings]
    signatures: ImageSignatures

    @property
    def identities(self) -> NDArray[np.str_]:
        """[N] who each photo shows."""
        return next(iter(self.sets.values())).identities

    def take(self, rows: NDArray[np.generic], names: NDArray[np.str_] | None = None) -> "Photos":
        """Return some photos, under other names if given."""
        sets = {name: embeddings.take(rows) for name, embeddings in self.sets.items()}
        if names is not None:
            sets = {name: dataclasses.replace(item, identities=names) for name, item in sets.items()}
        return Photos(sets, self.signatures.take(rows))

    def with_more(self, other: "Photos") -> "Photos":
        """Return these photos and others after them."""
        sets = {}
        for name, item in self.sets.items():
            more = other.sets[name]
            joined = [
                np.concatenate(pair) for pair in ((item.vectors, more.vectors), (item.identities, more.identities))
            ]
            sets[name] = Embeddings(joined[0], joined[1], np.concatenate([item.images, more.images]))
        images = np.concatenate([self.signatures.images, other.signatures.images])
        pictures = np.concatenate([self.signatures.pictures, other.signatures.pictures])
        return Photos(sets, ImageSignatures(images, pictures))


Parts = dict[str, Photos]


def main() -> int:
    """Run the experiments and print a line for each audit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path, help="folder with train, holdout and placebo")
    parser.add_argument("--recognizers", nargs="+", default=["mobilefacenet-ms1m", "mobilefacenet-casia"])
    parser.add_argument("--repeats", type=int, default=20, help="random splits of b")
    parser.add_argument("--leaks", type=int, default=3, help="random draws of a and c")
    parser.add_argument("--permutations", type=int, default=9999)
    parser.add_argument("--via-size", type=int, default=None, help="bring the photos to this resolution first")
    parser.add_argument("--out", type=Path, default=None, help="JSON file for the counts and figures")
    arguments = parser.parse_args()
    try:
        facesets = {role: FaceSet.load(arguments.split / role) for role in ROLES}
        parts = {
            role: photos_of(faceset, arguments.recognizers, arguments.via_size) for role, faceset in facesets.items()
        }
        return check(facesets, parts, arguments)
    except SynthfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3


def photos_of(faceset: FaceSet, recognizers: list[str], via_size: int | None) -> Photos:
    """Embed a set; where the embeddings come from is left out, since the parts of a set are dealt out as new sets."""
    sets = {name: embed_faceset(faceset, name, via_size=via_size) for name in recognizers}
    return Photos({name: dataclasses.replace(item, info={}) for name, item in sets.items()}, signatures_of(faceset))


def check(facesets: dict[str, FaceSet], parts: Parts, arguments: argparse.Namespace) -> int:
    """Run everything; return 1 if anything is wrong."""
    strangers = without_known(parts)
    n_known = len(parts["placebo"].identities) - len(strangers.identities)
    print(f"{n_known} placebo photos show people of the training set or the hold-out under another name: left out")
    parts = {**parts, "placebo": strangers}
    figures: list[dict[str, object]] = []
    wrong = 0
    for experiment, repeat, release in releases(parts, arguments.repeats, arguments.leaks):
        config = AuditConfig(seed=repeat, permutations=arguments.permutations)
        verdict = audit_of(release, config)
        right = (verdict.verdict == "FAIL") == (experiment != "b")
        wrong += not right
        figures.append(show(experiment, repeat, verdict, right))
    for experiment, kind in (("d", "mirrored"), ("d cropped", "recompressed")):
        outcome = copies(facesets, parts, arguments, kind)
        print(
            f"{experiment}: {outcome.found} of {outcome.n} copies found: {outcome.as_copies} by their picture, "
            f"{', '.join(f'{n} by {name}' for name, n in outcome.by_recognizer.items())}"
        )
        figures.append({"experiment": experiment, **to_json(outcome)})
        wrong += experiment == "d" and outcome.found < outcome.n
    print(f"{wrong} of {len(figures)} experiments wrong")
    if arguments.out:
        write_json(arguments.out, {"left_out": n_known, "experiments": figures})
    return int(wrong > 0)


def releases(parts: Parts, repeats: int, leaks: int) -> Iterator[tuple[str, int, Parts]]:
    """Yield the experiments: name, number of the draw, and the parts to audit."""
    for repeat in range(leaks):
        yield "a", repeat, posing(parts, repeat)
    for repeat in range(max(repeats, leaks)):
        harmless = strangers_posing(parts, repeat)
        if repeat < repeats:
            yield "b", repeat, harmless
        if repeat < leaks:
            yield "c", repeat, with_leak(harmless, repeat)


def posing(parts: Parts, seed: int) -> Parts:
    """Put half of each training person's photos in the place of the synthetic class of that person."""
    rng = numpy_generator(seed, "posing")
    names = parts["train"].identities
    chosen = np.zeros(len(names), dtype=bool)
    for name in np.unique(names):
        rows = rng.permutation(np.flatnonzero(names == name))
        chosen[rows[: len(rows) // 2]] = True
    return {**parts, "synthetic": parts["train"].take(chosen), "train": parts["train"].take(~chosen)}


def strangers_posing(parts: Parts, seed: int) -> Parts:
    """Put half of the placebo people in the place of the synthetic set, and deal training set and hold-out anew."""
    rng = numpy_generator(seed, "placebo")
    names = parts["placebo"].identities
    chosen = np.isin(names, half(names, 0.5, rng))
    pool = parts["train"].with_more(parts["holdout"])
    share = len(np.unique(parts["train"].identities)) / len(np.unique(pool.identities))
    trained = np.isin(pool.identities, half(pool.identities, share, rng))
    return {
        "synthetic": parts["placebo"].take(chosen, np.char.add("class of ", names[chosen])),
        "placebo": parts["placebo"].take(~chosen),
        "train": pool.take(trained),
        "holdout": pool.take(~trained),
    }


def half(names: NDArray[np.str_], share: float, rng: np.random.Generator) -> NDArray[np.str_]:
    """Return a random part of the people."""
    people = np.unique(names)
    return np.asarray(rng.permutation(people)[: round(share * len(people))])


def with_leak(parts: Parts, seed: int) -> Parts:
    """Replace 1 % of the synthetic images by photos of training people; the classes keep their names."""
    rng = numpy_generator(seed, "leak")
    synthetic, train = parts["synthetic"], parts["train"]
    n = max(1, round(LEAKED_SHARE * len(synthetic.identities)))
    replaced = np.zeros(len(synthetic.identities), dtype=bool)
    replaced[rng.permutation(len(replaced))[:n]] = True
    leaked = train.take(rng.permutation(len(train.identities))[:n], synthetic.identities[replaced])
    return {**parts, "synthetic": synthetic.take(~replaced).with_more(leaked)}


def audit_of(parts: Parts, config: AuditConfig) -> Verdict:
    """Audit with embeddings and signatures."""
    return audit(
        **{role: photos.sets for role, photos in parts.items()},  # type: ignore[arg-type]
        signatures={role: photos.signatures for role, photos in parts.items()},
        config=config,
    )


def copies(facesets: dict[str, FaceSet], parts: Parts, arguments: argparse.Namespace, kind: str) -> PlantOutcome:
    """Search the photos of placebo people for copies of training photos that were planted among them.

    Args:
        facesets: of the collection, for the pictures.
        parts: their embeddings and signatures.
        arguments: of the command.
        kind: "mirrored" or, cropped as well, "recompressed".
    """
    train, config = facesets["train"], AuditConfig()
    rows = numpy_generator(0, "copies").permutation(len(train))[:COPIES].tolist()
    images = tuple(PlannedImage(f"images/{k:06d}.png", kind, row) for k, row in enumerate(rows))
    plants = tuple(("recompressed", train.records[item.photo].identity, (item.path,), ()) for item in images)
    side = arguments.via_size or train.records[0].width
    made = make_plants(
        Plan(images, plants, frozenset()),
        train,
        train,
        side,
        config,
        lambda planted: {name: embed_faceset(planted, name) for name in arguments.recognizers},
    )
    return search_plants(
        made,
        without_known(parts, SURE).sets,
        parts["train"].sets,
        parts["holdout"].sets,
        parts["train"].signatures,
        config,
    )[0]


def without_known(parts: Parts, expected: float = 0.5) -> Photos:
    """Return the placebo without people whom a recogniser takes for somebody in the training set or the hold-out.

    Args:
        parts: of the collection.
        expected: people that each comparison may take out by chance; many leave nobody in who is known.
    """
    known: set[int] = set()
    placebo = parts["placebo"]
    for role in ("train", "holdout"):
        for name, embeddings in parts[role].sets.items():
            pairs = look_alikes(build_gallery(placebo.sets[name], 20), build_gallery(embeddings, 20), expected)
            known |= {person for person, _ in pairs}
    return placebo.take(~np.isin(placebo.identities, np.unique(placebo.identities)[sorted(known)]))


def show(experiment: str, repeat: int, verdict: Verdict, right: bool) -> dict[str, object]:
    """Print the verdict and the figures behind it, and return them."""
    failed = [gate.id for gate in verdict.gates.values() if gate.passed is False]
    print(
        f"{experiment} {repeat}: {verdict.verdict}{'' if right else ' (WRONG)'}; failed {', '.join(failed) or 'none'}",
        flush=True,
    )
    checks = {
        f"{gate.id} {check.key} {check.recognizer}".strip(): {"value": check.value, "p": check.p_adjusted, "n": check.n}
        for gate in verdict.gates.values()
        for check in gate.checks
        if gate.id.startswith("A") and np.isfinite(check.value)
    }
    for name in ("A4 rank1_hits", "A4 auc", "A1 copies"):
        shown = [f"{value['value']:.4g} of {value['n']}" for key, value in checks.items() if key.startswith(name)]
        if shown:
            print(f"   {name}: {', '.join(shown)}")
    return {"experiment": experiment, "repeat": repeat, "verdict": verdict.verdict, "failed": failed, "checks": checks}


if __name__ == "__main__":
    sys.exit(main())
