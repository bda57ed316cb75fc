"""Training classes against new people of one generator: how separable they are, and whether their parents show.

    python scripts/measure_new_people.py --generator runs/gan --judge mobilefacenet-ms1m

For each kind of identity: EER and Fisher ratio over all pairs of images; "distance to chance" of the link to a training
class as this generator shows it: how often that class is the nearest of all (rank 1), and the AUC of its score against
the other classes' scores. For a trained class the class is itself, for a new person its heaviest parent. Then how many
of the candidates the filter of 'synthface generate' keeps, with another recogniser than the judge. Prints Markdown.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gan.distinct import identity_templates, keep_distinct
from gan.identities import Code, MixtureConfig, SampleConfig, mixed_identity, sampled_identity
from gan.networks.generator import Generator
from gan.sampling.images import ImageRequest, draw_images
from gan.weights import load_generator
from synthface.core.errors import SynthfaceError
from synthface.core.seeds import derive_seed, numpy_generator
from synthface.metrics.all_pairs import all_pairs
from synthface.metrics.verification import auc, equal_error_rate, fisher_ratio
from synthface.recognition import load_recognizer
from synthface.workflows.generating.real_thresholds import shipped_threshold
from synthface.workflows.progress import track

FMRS = (1e-2, 1e-3, 1e-4)


@dataclass
class Kind:
    """One way to make identities, and what was measured of it."""

    name: str
    codes: list[Code]

    def parent(self, index: int) -> int:
        """Return the class with the largest weight, as the audit's link of labels does."""
        return max(self.codes[index], key=self.codes[index].__getitem__)


class Measurer:
    """Draws and embeds with one generator and the two recognisers."""

    def __init__(self, G: Generator, judge: Any, filter_by: Any, images: int) -> None:
        self.G, self.judge, self.filter_by, self.images = G, judge, filter_by, images

    def embed(self, codes: list[Code], purpose: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the unit embeddings of a few images of each code, by the judge and by the filter."""
        requests = [
            ImageRequest(derive_seed(0, purpose, k, j), code)
            for k, code in enumerate(codes)
            for j in range(self.images)
        ]
        drawn = track(draw_images(self.G, requests), description=purpose, total=len(requests))
        images = np.stack([image for _, image in drawn])
        return self.judge.embed(images), self.filter_by.embed(images)

    def separability(self, unit: NDArray[np.float32], kept: list[int]) -> tuple[float, float]:
        """Return EER and Fisher ratio of the identities ``kept``."""
        if len(kept) < 2:
            return np.nan, np.nan
        owners = np.arange(len(unit)) // self.images
        chosen = np.isin(owners, kept)
        pairs = all_pairs(unit[chosen], owners[chosen])
        return equal_error_rate(pairs.mated, pairs.non_mated), fisher_ratio(pairs.mated, pairs.non_mated)


def link(people: NDArray[np.float32], classes: NDArray[np.float32], parents: NDArray[np.int64]) -> tuple[float, float]:
    """Return the share of people whose parent is the nearest class, and the parents' AUC against other classes."""
    scores = people @ classes.T
    own = scores[np.arange(len(people)), parents]
    others = np.ones(scores.shape, bool)
    others[np.arange(len(people)), parents] = False
    return float((scores.argmax(axis=1) == parents).mean()), auc(own, scores[others])


def kinds_of(n_classes: int, n: int) -> list[Kind]:
    """Return the kinds to compare, n identities each."""
    trained = np.sort(numpy_generator(0, "classes to measure").choice(n_classes, min(n, n_classes), replace=False))
    return [
        Kind("trained classes", [{int(k): 1.0} for k in trained]),
        Kind("mixed, 4 parents", [mixed_identity(n_classes, i, 0, MixtureConfig()) for i in range(n)]),
        Kind("mixed, 8 parents", [mixed_identity(n_classes, i, 0, MixtureConfig(8, 0.3)) for i in range(n)]),
        Kind("sampled, 8 parents", [sampled_identity(n_classes, i, 0, SampleConfig(8)) for i in range(n)]),
        Kind("sampled, 32 parents", [sampled_identity(n_classes, i, 0, SampleConfig()) for i in range(n)]),
    ]


def report(measurer: Measurer, kinds: list[Kind]) -> None:
    """Measure and print both tables."""
    n_classes, images = measurer.G.n_classes, measurer.images
    everyone = measurer.embed([{k: 1.0} for k in range(n_classes)], "all classes")
    judged_classes, filter_classes = (identity_templates(unit, images) for unit in everyone)
    print(f"Judge {measurer.judge.name}, {len(kinds[0].codes)} identities, {images} images each\n")
    print(f"| identities | EER | Fisher ratio | parent at rank 1 (chance {1 / n_classes:.2%}) | AUC of the parent |")
    print("|---|---|---|---|---|")
    rows: list[str] = []
    for kind in kinds:
        judged, filtered = measurer.embed(kind.codes, kind.name)
        every = list(range(len(kind.codes)))
        eer, fisher = measurer.separability(judged, every)
        parents = np.array([kind.parent(index) for index in every])
        rank_1, area = link(identity_templates(judged, images), judged_classes, parents)
        print(f"| {kind.name} | {eer:.3f} | {fisher:.2f} | {rank_1:.1%} | {area:.3f} |", flush=True)
        for fmr in FMRS:
            recognizer = measurer.filter_by
            threshold = shipped_threshold(recognizer.name, recognizer.sha256, fmr, side=measurer.G.resolution)
            templates = identity_templates(filtered, images)
            others = None if kind is kinds[0] else filter_classes
            mutually = list(keep_distinct([templates], threshold, patience=len(every)))
            new = list(keep_distinct([templates], threshold, others=others, patience=len(every)))
            eer, fisher = measurer.separability(judged, mutually)
            counts = f"{len(mutually)} | {eer:.3f} | {fisher:.2f} | {'-' if others is None else len(new)}"
            rows.append(f"| {kind.name} | {fmr:g} | {counts} |")
    print(f"\nKept of {len(kinds[0].codes)} under {measurer.filter_by.name}\n")
    print("| identities | FMR | mutually distinct | their EER | their Fisher ratio | and no training class |")
    print("|---|---|---|---|---|---|")
    print("\n".join(rows))


def main() -> int:
    """Load, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", type=Path, required=True)
    parser.add_argument("--judge", default="mobilefacenet-ms1m", help="recogniser that measures")
    parser.add_argument("--filter", default="synthface-small", help="recogniser that decides who is kept")
    parser.add_argument("--identities", type=int, default=200)
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        G = load_generator(arguments.generator)
        measurer = Measurer(G, load_recognizer(arguments.judge), load_recognizer(arguments.filter), arguments.images)
        report(measurer, kinds_of(G.n_classes, arguments.identities))
    except SynthfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
