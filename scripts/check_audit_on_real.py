"""Check the audit on real people: it must say FAIL where it should, and not where it should not.

Takes the folder written by 'synthface split' and puts real photos in the place of a synthetic set:

posing   half the photos of each training person pose as the synthetic class of that label, the other half stay in the
         training set. The audit must say FAIL, with near-certain label linkage.
placebo  a random half of the placebo people pose as the synthetic set, the other half stay the placebo. The audit must
         not say FAIL. Collections hold some people under two names: placebo people whom a recogniser takes for
         somebody in the training set or the hold-out are left out first, and counted.

Nothing is printed but counts and figures. Exit code 1 if the audit is wrong anywhere.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np

from synthface.core.errors import SynthfaceError
from synthface.core.seeds import numpy_generator
from synthface.data import FaceSet
from synthface.privacy import AuditConfig, Embeddings, Verdict, audit
from synthface.privacy.gallery import build_gallery
from synthface.privacy.overlap import look_alikes
from synthface.workflows.embed import embed_faceset

Sets = dict[str, Embeddings]


def main() -> int:
    """Run both experiments and print a line for each audit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path, help="folder with train, holdout and placebo")
    parser.add_argument("--recognizers", nargs="+", default=["mobilefacenet-ms1m", "mobilefacenet-casia"])
    parser.add_argument("--repeats", type=int, default=3, help="random halves an experiment")
    parser.add_argument("--via-size", type=int, default=None, help="bring the photos to this resolution first")
    arguments = parser.parse_args()
    try:
        facesets = {role: FaceSet.load(arguments.split / role) for role in ("train", "holdout", "placebo")}
        sets = {
            role: {name: embed_faceset(faceset, name, via_size=arguments.via_size) for name in arguments.recognizers}
            for role, faceset in facesets.items()
        }
    except SynthfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    strangers = without_known(sets)
    n_known = len(next(iter(sets["placebo"].values()))) - len(next(iter(strangers.values())))
    print(f"{n_known} placebo photos show people of the training set or the hold-out under another name: left out")
    wrong = 0
    for repeat in range(arguments.repeats):
        config = AuditConfig(seed=repeat)
        verdict = posing(sets, config)
        wrong += verdict.verdict != "FAIL"
        show(f"posing {repeat}", verdict)
    for repeat in range(arguments.repeats):
        verdict = placebo({**sets, "placebo": strangers}, AuditConfig(seed=repeat))
        wrong += verdict.verdict == "FAIL"
        show(f"placebo {repeat}", verdict)
    print(f"{wrong} of {2 * arguments.repeats} audits wrong")
    return int(wrong > 0)


def posing(sets: dict[str, Sets], config: AuditConfig) -> Verdict:
    """Audit with half of each training person's photos as the synthetic class of that person."""
    rng = numpy_generator(config.seed, "posing")
    names = next(iter(sets["train"].values())).identities
    chosen = np.zeros(len(names), dtype=bool)
    for name in np.unique(names):
        rows = rng.permutation(np.flatnonzero(names == name))
        chosen[rows[: len(rows) // 2]] = True
    synthetic, train = take(sets["train"], chosen), take(sets["train"], ~chosen)
    return audit(**{**sets, "synthetic": synthetic, "train": train}, config=config)


def placebo(sets: dict[str, Sets], config: AuditConfig) -> Verdict:
    """Audit with half of the placebo people as the synthetic set."""
    rng = numpy_generator(config.seed, "placebo")
    names = next(iter(sets["placebo"].values())).identities
    people = np.unique(names)
    chosen = np.isin(names, rng.permutation(people)[: len(people) // 2])
    synthetic, rest = take(sets["placebo"], chosen), take(sets["placebo"], ~chosen)
    return audit(**{**sets, "synthetic": synthetic, "placebo": rest}, config=config)


def without_known(sets: dict[str, Sets]) -> Sets:
    """Return the placebo without people whom a recogniser takes for somebody in the training set or the hold-out."""
    known: set[int] = set()
    names = next(iter(sets["placebo"].values())).identities
    for role in ("train", "holdout"):
        for name, embeddings in sets[role].items():
            pairs = look_alikes(build_gallery(sets["placebo"][name], 20), build_gallery(embeddings, 20), 0.5)
            known |= {person for person, _ in pairs}
    return take(sets["placebo"], ~np.isin(names, np.unique(names)[sorted(known)]))


def take(sets: Sets, rows: np.ndarray) -> Sets:
    """Return some rows under every recogniser."""
    return {name: embeddings.take(rows) for name, embeddings in sets.items()}


def show(experiment: str, verdict: Verdict) -> None:
    """Print the verdict and the figures behind it."""
    print(f"{experiment}: {verdict.verdict}. {verdict.claim}")
    for gate in verdict.gates.values():
        for check in gate.checks:
            shown = {key: value for key, value in dataclasses.asdict(check).items() if key in ("interval", "p_value")}
            print(f"  {gate.id} {check.recognizer or '-':20} {check.key:15} {check.value:.4g} {shown} {check.passed}")


if __name__ == "__main__":
    sys.exit(main())
