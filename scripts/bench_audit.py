"""Time a whole audit on simulated embeddings: 50,000 synthetic images against 10,000 real ones by default.

    python scripts/bench_audit.py
    python scripts/bench_audit.py --synthetic 500000 --real 50000 --classes 10000 --profile 25

People are random directions, seen by every recogniser in its own way; photos scatter around them. The synthetic classes
carry the labels of training people, but show nobody. Of the real people 60 % are training, 25 % hold-out and 15 %
placebo. All else is the audit's default: 9,999 permutations, 2,000 bootstraps. Perceptual hashes of images (A1) are
not part of it. Set OMP_NUM_THREADS to the number of cores to use before the start.
"""

import argparse
import cProfile
import dataclasses
import pstats
import resource
import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from synthface.privacy import AuditConfig, Embeddings, audit

SHARES = {"train": 0.6, "holdout": 0.25, "placebo": 0.15}
SCATTER = 0.8  # of photos around a person: mated scores near .6


def main() -> None:
    """Simulate, audit, print the times."""
    options = parse()
    started = time.perf_counter()
    sets = simulate(options)
    print(f"simulated in {time.perf_counter() - started:.1f} s; {memory():.0f} MB", flush=True)
    labels = {f"class{k:06d}": f"train{k % people(options, 'train'):06d}" for k in range(options.classes)}
    config = dataclasses.replace(AuditConfig(), permutations=options.permutations)
    profile = cProfile.Profile()
    wall, cpu = time.perf_counter(), time.process_time()
    if options.profile:
        profile.enable()
    verdict = audit(**sets, labels=labels, config=config)  # type: ignore[arg-type]
    profile.disable()
    print(
        f"{options.synthetic:,} synthetic images in {options.classes:,} classes, {options.real:,} photos, "
        f"{options.dim} dimensions, {options.recognizers} recognisers, {options.permutations:,} permutations: "
        f"{time.perf_counter() - wall:.1f} s ({time.process_time() - cpu:.1f} s of CPU time), "
        f"{memory():.0f} MB at most; {verdict.verdict}"
    )
    if options.profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats("synthface", options.profile)


def parse() -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synthetic", type=int, default=50_000, help="synthetic images")
    parser.add_argument("--real", type=int, default=10_000, help="photos of real people, in all roles")
    parser.add_argument("--photos", type=int, default=4, help="photos a real person")
    parser.add_argument("--classes", type=int, default=5_000, help="synthetic classes")
    parser.add_argument("--dim", type=int, default=512, help="dimensions")
    parser.add_argument("--recognizers", type=int, default=2, help="recognisers")
    parser.add_argument("--permutations", type=int, default=9_999, help="permutations")
    parser.add_argument("--profile", type=int, default=0, metavar="LINES", help="print where the time goes")
    return parser.parse_args()


def people(options: argparse.Namespace, role: str) -> int:
    """Return how many people a role has."""
    return max(1, int(options.real * SHARES[role] / options.photos))


def simulate(options: argparse.Namespace) -> dict[str, Mapping[str, Embeddings]]:
    """Return embeddings by role and recogniser."""
    rng = np.random.default_rng(0)
    counts = {"synthetic": (options.classes, options.synthetic // options.classes, "class")}
    counts |= {role: (people(options, role), options.photos, role) for role in SHARES}
    names = [f"recogniser {number}" for number in range(1, options.recognizers + 1)]
    views = {name: rng.standard_normal((options.dim, options.dim), dtype=np.float32) for name in names}
    sets: dict[str, Mapping[str, Embeddings]] = {}
    for role, (n_people, photos, prefix) in counts.items():
        faces = rng.standard_normal((n_people, options.dim), dtype=np.float32)
        owners = np.repeat(np.arange(n_people), photos)
        identities = np.array([f"{prefix}{person:06d}" for person in owners])
        images = np.array([f"{role}/{row:07d}" for row in range(len(owners))])
        # pose and light are in the photo: all recognisers see the same, in part
        scatter = [rng.standard_normal((len(owners), options.dim), dtype=np.float32) for _ in range(len(names) + 1)]
        sets[role] = {
            name: Embeddings(
                unit((faces[owners] + SCATTER * np.sqrt(0.5, dtype=np.float32) * (scatter[0] + own)) @ views[name]),
                identities,
                images,
            )
            for name, own in zip(names, scatter[1:], strict=True)
        }
    return sets


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale to length 1."""
    scaled: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def memory() -> float:
    """Return the largest memory this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
