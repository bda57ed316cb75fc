"""Check the audit on real people: it must say FAIL where it should, and not where it should not.

Takes the folder written by 'synthface split' and puts real photos in the place of a synthetic set:

a  half the photos of each training person pose as the synthetic class of that label, the other half stay in the
   training set. The audit must say FAIL, and nine classes in ten must lead to their person.
b  a random half of the placebo people pose as the synthetic set, the other half stay the placebo; training set and
   hold-out are dealt out anew from their people. The audit must never say FAIL.
c  as b, but 1 % of the images are training photos; "c other": photos of training people that were not trained on. The
   audit must say FAIL.
d  training photos, mirrored and saved as JPEG of quality 30, among the images of b. Each must be found. The same
   photos cropped by up to 5 % at each edge as well are counted beside it; nothing is demanded of these.

Collections hold some people under two names, and some photos under a wrong one: placebo people whom a recogniser takes
for somebody in the training set or the hold-out, or for whoever is on one photo there, are left out first, and counted.
Nothing is printed or written but counts and figures. Stopped, it goes on where it was: finished experiments are kept in
a journal beside the JSON file, which goes when all are done. Exit code 1 if the audit is wrong anywhere.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import SynthfaceError
from synthface.core.hashing import sha256_json
from synthface.core.journal import Journal
from synthface.core.run_record import run_record, to_json, write_json
from synthface.core.seeds import numpy_generator
from synthface.data import FaceSet
from synthface.privacy import AuditConfig, Embeddings, Verdict, audit
from synthface.privacy.gallery import build_gallery
from synthface.privacy.overlap import look_alikes
from synthface.privacy.plant_search import search_plants
from synthface.privacy.plants import PlantOutcome
from synthface.privacy.signatures import ImageSignatures
from synthface.workflows.auditing.inputs import signatures_of
from synthface.workflows.auditing.planting import make_plants
from synthface.workflows.auditing.planting_plan import Plan, PlannedImage, PlannedPlant
from synthface.workflows.embed import embed_faceset

ROLES = ("train", "holdout", "placebo")
LEAKED_SHARE = 0.01
SURE = 20.0  # one person in both, under two names, would stand for chance and hide copies that are as near
COPIES = 299  # all found: at least 99 % of all copies are, with 95 % confidence
COPIED = {"d": "mirrored", "d cropped": "recompressed"}
MIN_LINKED = 0.9  # share of the classes of a that lead to their person


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
Figures = dict[str, Any]


def main() -> int:
    """Run the experiments that are not in the journal yet, print a line for each, and sum up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path, help="folder with train, holdout and placebo")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the counts and figures")
    parser.add_argument("--recognizers", nargs="+", default=["mobilefacenet-ms1m", "mobilefacenet-casia"])
    parser.add_argument("--repeats", type=int, default=20, help="random splits of b")
    parser.add_argument("--leaks", type=int, default=3, help="random draws of a and of both kinds of c")
    parser.add_argument("--permutations", type=int, default=9999)
    parser.add_argument("--via-size", type=int, default=None, help="bring the photos to this resolution first")
    arguments = parser.parse_args()
    try:
        facesets = {role: FaceSet.load(arguments.split / role) for role in ROLES}
        parts = {
            role: photos_of(faceset, arguments.recognizers, arguments.via_size) for role, faceset in facesets.items()
        }
        journal_file = arguments.out.with_suffix(".jsonl")
        with Journal(journal_file) as journal:
            result = check(facesets, parts, arguments, journal)
    except SynthfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    write_json(arguments.out, result)
    journal_file.unlink()
    for name, line in result["summary"].items():
        print(f"{name}: {line}")
    return int(result["wrong"] > 0)


def photos_of(faceset: FaceSet, recognizers: list[str], via_size: int | None) -> Photos:
    """Embed a set; where the embeddings come from is left out, since the parts of a set are dealt out as new sets."""
    sets = {name: embed_faceset(faceset, name, via_size=via_size) for name in recognizers}
    return Photos({name: dataclasses.replace(item, info={}) for name, item in sets.items()}, signatures_of(faceset))


def check(facesets: dict[str, FaceSet], parts: Parts, arguments: argparse.Namespace, journal: Journal) -> Figures:
    """Run everything and return the figures, with a summary."""
    strangers = without_known(parts)
    n_known = len(parts["placebo"].identities) - len(strangers.identities)
    print(f"{n_known} placebo photos show people of the training set or the hold-out under another name: left out")
    harmless = {**parts, "placebo": strangers}
    draws = {"a": arguments.leaks, "b": arguments.repeats, "c": arguments.leaks, "c other": arguments.leaks}
    planned = [(name, draw) for draw in range(max(draws.values())) for name in POSING if draw < draws[name]]
    config = {"recognizers": arguments.recognizers, "via_size": arguments.via_size}
    config |= {"permutations": arguments.permutations}
    record = run_record("check_audit_on_real", config, inputs={k: v.manifest_sha256 for k, v in facesets.items()})
    known = {one["key"]: one["figures"] for one in journal.records}
    experiments: list[Figures] = []
    for name, draw in [*planned, *((name, 0) for name in COPIED)]:
        key = sha256_json([record, name, draw])
        if key not in known:
            if name in COPIED:
                known[key] = {"experiment": name, **to_json(copies(facesets, parts, arguments, COPIED[name]))}
            else:
                audit_config = AuditConfig(seed=draw, permutations=arguments.permutations)
                known[key] = figures_of(name, draw, audit_of(POSING[name](harmless, draw), audit_config))
            journal.append({"key": key, "figures": known[key]})
        experiments.append(known[key])
        print(words_of(known[key]), flush=True)
    wrong = sum(not is_right(figures) for figures in experiments)
    summary = {
        name: summary_of([one for one in experiments if one["experiment"] == name]) for name in (*POSING, *COPIED)
    }
    outcomes = [{key: value for key, value in one.items() if key != "checks"} for one in experiments]
    return {"made_by": record, "left_out": n_known, "wrong": wrong, "summary": summary, "experiments": outcomes}


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


def with_leak(collection: Parts, seed: int) -> Parts:
    """Let strangers pose, with 1 % of the images replaced by photos of training people; classes keep their names."""
    return leaked(strangers_posing(collection, seed), numpy_generator(seed, "leak"))[0]


def with_other_leak(collection: Parts, seed: int) -> Parts:
    """Do the same with photos that are not in the training set, of people who are."""
    parts, rows = leaked(strangers_posing(collection, seed), numpy_generator(seed, "leak"))
    return {**parts, "train": parts["train"].take(~np.isin(np.arange(len(parts["train"].identities)), rows))}


def leaked(parts: Parts, rng: np.random.Generator) -> tuple[Parts, NDArray[np.int64]]:
    """Replace 1 % of the synthetic images by training photos of as many people; return their rows as well."""
    synthetic, train = parts["synthetic"], parts["train"]
    n = max(1, round(LEAKED_SHARE * len(synthetic.identities)))
    replaced = np.zeros(len(synthetic.identities), dtype=bool)
    replaced[rng.permutation(len(replaced))[:n]] = True
    order = rng.permutation(len(train.identities))
    rows = order[np.sort(np.unique(train.identities[order], return_index=True)[1])[:n]]
    photos = train.take(rows, synthetic.identities[replaced])
    return {**parts, "synthetic": synthetic.take(~replaced).with_more(photos)}, rows


POSING: dict[str, Callable[[Parts, int], Parts]] = {
    "a": posing,
    "b": strangers_posing,
    "c": with_leak,
    "c other": with_other_leak,
}


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
    plants = tuple(PlannedPlant("recompressed", train.records[item.photo].identity, (item.path,)) for item in images)
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
            single = dataclasses.replace(embeddings, identities=embeddings.images)  # one may carry a wrong name
            strangers = build_gallery(placebo.sets[name], 20)
            known |= {person for person, _ in look_alikes(strangers, build_gallery(embeddings, 20), expected)}
            known |= {person for _, person in look_alikes(build_gallery(single, 1), strangers, expected)}
    return placebo.take(~np.isin(placebo.identities, np.unique(placebo.identities)[sorted(known)]))


def figures_of(experiment: str, draw: int, verdict: Verdict) -> Figures:
    """Return the verdict and the figures behind it."""
    checks = {
        f"{gate.id} {check.key} {check.recognizer}".strip(): {"value": check.value, "p": check.p_adjusted, "n": check.n}
        for gate in verdict.gates.values()
        for check in gate.checks
        if gate.id.startswith("A") and np.isfinite(check.value)
    }
    failed = [gate.id for gate in verdict.gates.values() if gate.passed is False]
    return to_json(
        {"experiment": experiment, "draw": draw, "verdict": verdict.verdict, "failed": failed, "checks": checks}
    )


def linked_share(figures: Figures) -> float:
    """Return the share of classes that lead to their person at once, under the recogniser that finds fewest."""
    hits = [check for key, check in figures["checks"].items() if key.startswith("A4 rank1_hits")]
    return min((check["value"] / check["n"] for check in hits), default=0.0)


def is_right(figures: Figures) -> bool:
    """Say whether an experiment went as it must."""
    if figures["experiment"] in COPIED:
        return figures["experiment"] != "d" or figures["found"] == figures["n"]
    failed = figures["verdict"] == "FAIL"
    if figures["experiment"] == "a":
        return failed and linked_share(figures) >= MIN_LINKED
    return failed == (figures["experiment"] != "b")


def words_of(figures: Figures) -> str:
    """Return a line on an experiment."""
    wrong = "" if is_right(figures) else " (WRONG)"
    if figures["experiment"] in COPIED:
        by_name = ", ".join(f"{n} by {name}" for name, n in figures["by_recognizer"].items())
        found = f"{figures['found']} of {figures['n']} copies found{wrong}: {figures['as_copies']} by their picture"
        return f"{figures['experiment']}: {found}, {by_name}"
    failed = ", ".join(figures["failed"]) or "none"
    return f"{figures['experiment']} {figures['draw']}: {figures['verdict']}{wrong}; failed {failed}"


def summary_of(experiments: list[Figures]) -> Figures:
    """Return what the draws of one experiment have in common."""
    if experiments[0]["experiment"] in COPIED:
        return {key: experiments[0][key] for key in ("n", "found", "as_copies", "by_recognizer")}
    p_values = [min(c["p"] for c in one["checks"].values() if c["p"] is not None) for one in experiments]
    summary: Figures = {
        "audits": len(experiments),
        "fail": sum(one["verdict"] == "FAIL" for one in experiments),
        "pass": sum(one["verdict"] == "PASS" for one in experiments),
        "smallest_p_least_median_largest": [min(p_values), float(np.median(p_values)), max(p_values)],
    }
    if experiments[0]["experiment"] == "a":
        for key in experiments[0]["checks"]:
            if key.startswith("A4 "):
                summary[key] = float(np.mean([one["checks"][key]["value"] for one in experiments]))
        summary["linked_share"] = min(map(linked_share, experiments))
    return summary


if __name__ == "__main__":
    sys.exit(main())
