"""What images give away under one recogniser, the inverted one or a judge. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inversion.scoring.cross_identity import FMRS, Threshold, cross_identity_thresholds
from inversion.scoring.replaced_pairs import PairPlan, accuracy_tallies
from inversion.scoring.tallies import Tally, summarise

Vectors = NDArray[np.float32]
RANKS = (1, 5, 10)
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BLOCK = 256  # images compared with the whole gallery at a time


@dataclass(frozen=True)
class Gallery:
    """Real faces under one recogniser.

    Attributes:
        vectors: [F, D] unit embeddings.
        identities: [F] strings.
    """

    vectors: Vectors
    identities: NDArray[np.str_]

    @cached_property
    def thresholds(self) -> dict[str, Threshold | None]:
        """The threshold at each FMR, from all cross-identity pairs."""
        return cross_identity_thresholds(self.vectors, self.identities)

    @cached_property
    def first_rows(self) -> NDArray[np.int64]:
        """[P] row of each person's first image, people sorted by name."""
        return np.unique(self.identities, return_index=True)[1].astype(np.int64)


@dataclass(frozen=True)
class Bench:
    """What the images are compared with, under one recogniser.

    Attributes:
        targets: [N, D] what each image was to be: under the inverted recogniser the target, under a judge the unit
            embedding of the picture behind it.
        owners: [N] who each target is.
        gallery: real faces, or None where there are none with names.
        sources: [N] rows of the targets' pictures in the gallery, or None where the targets have none.
        pairs: which comparisons the accuracy is measured on; None leaves it out.
    """

    targets: Vectors
    owners: NDArray[np.str_]
    gallery: Gallery | None = None
    sources: NDArray[np.int64] | None = None
    pairs: PairPlan | None = None

    @property
    def thresholds(self) -> Mapping[str, Threshold | None]:
        """The threshold at each FMR; None where it is not known."""
        return dict.fromkeys(FMRS) if self.gallery is None else self.gallery.thresholds

    def real_photos(self) -> Vectors | None:
        """Return the embeddings of the pictures behind the targets, [N, D]: what no reconstruction can beat."""
        return None if self.gallery is None or self.sources is None else self.gallery.vectors[self.sources]

    def without_own(self, owners: NDArray[np.str_]) -> NDArray[np.int64]:
        """Return a row of another person's target for each of N; -1 where there is nobody else."""
        n = len(owners)
        order = np.argsort(owners, kind="stable")
        largest = int(np.unique(owners, return_counts=True)[1].max())
        shifted = np.empty(n, np.int64)
        shifted[order] = np.roll(order, -largest)  # moves past the whole block of one person
        shifted[owners[shifted] == owners] = -1
        return shifted


def score_images(images: Vectors, bench: Bench, *, real: bool = False, seed: int = 0) -> dict[str, Any]:
    """Compare images with their targets, with other photos of the same people and with everybody else.

    Args:
        images: [N, D] unit embeddings of the images.
        bench: what they are compared with.
        real: the images are the very pictures behind the targets, so that comparing the two would say nothing.
        seed: seed of the bootstrap.

    Returns:
        By name, each a number or None where it cannot be measured, and again under ``intervals`` (95 %, by identity)
        and ``counts`` (comparisons behind it): ``cosine_mean`` to the target; ``cosine_other_photos`` to the
        person's other photos; ``sar_type1_at_fmr_F``, how often an image passes for the picture behind its target;
        ``sar_type2_at_fmr_F``, how often for another photo of the person; ``strangers_at_fmr_F``, for a photo of
        somebody else; ``rankK``, how often the person is among the K nearest of all people of the gallery, one photo
        each, the picture behind the target never among them; ``accuracy_one_side`` and ``accuracy_both_sides``, see
        ``replaced_pairs``. And ``cosine_quantiles``.
    """
    own = np.einsum("nd,nd->n", images, bench.targets).astype(np.float64)
    once = np.ones(len(images))
    tallies = {} if real else {"cosine_mean": Tally(own, once, is_share=False)}
    tallies |= _against_gallery(images, bench)
    if not real:
        for name, threshold in bench.thresholds.items():
            accepted = (own >= threshold.value).astype(np.float64) if threshold else 0 * once
            tallies[f"sar_type1_at_fmr_{name}"] = Tally(accepted, once if threshold else 0 * once)
    if bench.pairs is not None and bench.gallery is not None:
        tallies |= accuracy_tallies(images, bench.gallery.vectors, bench.pairs)
    quantiles = None if real else {f"{q:g}": float(np.quantile(own, q)) for q in _QUANTILES}
    return {**summarise(tallies, bench.owners, seed=seed), "cosine_quantiles": quantiles}


def _against_gallery(images: Vectors, bench: Bench) -> dict[str, Tally]:
    n, gallery = len(images), bench.gallery
    names = [f"{kind}_at_fmr_{fmr}" for kind in ("sar_type2", "strangers") for fmr in FMRS]
    names += [f"rank{k}" for k in RANKS]
    tallies = {name: Tally(np.zeros(n), np.zeros(n)) for name in names}
    tallies["cosine_other_photos"] = Tally(np.zeros(n), np.zeros(n), is_share=False)
    if gallery is None:
        return tallies
    for start in range(0, n, _BLOCK):
        rows = slice(start, min(start + _BLOCK, n))
        scores = images[rows] @ gallery.vectors.T
        same = bench.owners[rows, None] == gallery.identities[None, :]
        mates = same.copy()
        if bench.sources is not None:
            mates[np.arange(len(mates)), bench.sources[rows]] = False
        for fmr, threshold in bench.thresholds.items():
            if threshold is None:
                continue
            accepted = scores >= np.float32(threshold.value)
            for kind, compared in (("sar_type2", mates), ("strangers", ~same)):
                tally = tallies[f"{kind}_at_fmr_{fmr}"]
                tally.sums[rows] = (accepted & compared).sum(axis=1)
                tally.counts[rows] = compared.sum(axis=1)
        other = tallies["cosine_other_photos"]
        other.counts[rows] = mates.sum(axis=1)
        other.sums[rows] = np.where(mates, scores, 0).sum(axis=1, dtype=np.float64)
        ranks = identification_ranks(scores, mates, same, gallery.first_rows)
        for k in RANKS:
            tallies[f"rank{k}"].counts[rows] = ranks > 0
            tallies[f"rank{k}"].sums[rows] = (ranks > 0) & (ranks <= k)
    return tallies


def identification_ranks(
    scores: NDArray[np.float32],
    mates: NDArray[np.bool_],
    same: NDArray[np.bool_],
    first_rows: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the rank of each image's person among all people of a gallery with one photo each; 0 if not enrolled.

    Everybody is enrolled with their first photo, the image's person with the first that is not the source.

    Args:
        scores: [n, F] against every gallery image.
        mates: [n, F] the person's photos but for the source.
        same: [n, F] the person's photos.
        first_rows: [P] row of each person's first photo.
    """
    own = scores[np.arange(len(scores)), mates.argmax(axis=1)]
    strangers = ~same[:, first_rows]
    ahead = ((scores[:, first_rows] >= own[:, None]) & strangers).sum(axis=1)
    return np.where(mates.any(axis=1), ahead + 1, 0)
