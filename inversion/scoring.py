"""What the images give away under one recogniser, the inverted one or a judge. Free of torch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.core.seeds import numpy_generator
from synthface.metrics.intervals import bootstrap_by_identity, wilson
from synthface.metrics.verification import threshold_at_fmr

Floats = NDArray[np.floating]
FMR = 1e-3  # where the literature on template inversion quotes its success rates
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_THRESHOLD_IMAGES = 3000  # 4.5 million pairs: a false match rate of 1e-3 rests on thousands of them


@dataclass(frozen=True)
class Gallery:
    """Real faces under one recogniser.

    Attributes:
        vectors: [F, D] unit embeddings.
        identities: [F] strings.
        sources: [N] row of each target's own picture.
    """

    vectors: NDArray[np.float32]
    identities: NDArray[np.str_]
    sources: NDArray[np.int64]


@dataclass(frozen=True)
class Threshold:
    """A comparison threshold and what it rests on."""

    value: float
    fmr: float
    n_non_mated: int


def cross_identity_threshold(gallery: Gallery, *, fmr: float = FMR, seed: int = 0) -> Threshold | None:
    """Return the threshold at an FMR from all cross-identity pairs; None if there are fewer than 1 / FMR pairs.

    Of galleries above 3,000 images, 3,000 drawn at random are compared.
    """
    rows = np.arange(len(gallery.vectors))
    if len(rows) > _THRESHOLD_IMAGES:
        rows = np.sort(numpy_generator(seed, "threshold images").choice(rows, _THRESHOLD_IMAGES, replace=False))
    first, second = np.triu_indices(len(rows), k=1)
    identities = gallery.identities[rows]
    scores = (gallery.vectors[rows] @ gallery.vectors[rows].T)[first, second]
    return _threshold(scores[identities[first] != identities[second]], fmr)


def pairs_threshold(gallery: Gallery, pairs: NDArray[np.int64], *, fmr: float = FMR) -> Threshold | None:
    """Return the threshold at an FMR from given non-mated pairs of gallery rows, [P, 2]; None if they are too few."""
    return _threshold(np.einsum("nd,nd->n", gallery.vectors[pairs[:, 0]], gallery.vectors[pairs[:, 1]]), fmr)


def _threshold(non_mated: Floats, fmr: float) -> Threshold | None:
    if len(non_mated) * fmr < 1:
        return None
    return Threshold(threshold_at_fmr(non_mated, fmr), fmr, len(non_mated))


def score_images(images: Floats, targets: Floats, identities: NDArray[np.str_], *, seed: int = 0) -> dict[str, Any]:
    """Compare images with their own targets and, as the floor, with everybody else's.

    Args:
        images: [N, D] unit embeddings of the images.
        targets: [N, D] unit embeddings of the targets, or of their pictures under a judge.
        identities: [N] who each target is.
        seed: seed of the bootstrap.

    Returns:
        ``cosine_mean`` with a 95 % interval (bootstrap by identity), ``cosine_quantiles``, and ``floor_mean``: the
        mean over all pairs of an image and a target of somebody else (None if there is one person only).
    """
    products = images.astype(np.float64) @ targets.astype(np.float64).T
    own = np.diagonal(products)
    others = products[identities[:, None] != identities[None, :]]
    return {
        "cosine_mean": float(own.mean()),
        "cosine_interval": _interval_of_mean(own, identities, seed),
        "cosine_quantiles": {f"{q:g}": float(np.quantile(own, q)) for q in QUANTILES},
        "floor_mean": float(others.mean()) if others.size else None,
    }


def attack_success(images: Floats, gallery: Gallery, threshold: Threshold, *, seed: int = 0) -> dict[str, Any]:
    """Return how often the images pass for their targets at a threshold.

    Args:
        images: [N, D] unit embeddings of the images.
        gallery: the real faces.
        threshold: where pairs are accepted.
        seed: seed of the bootstrap.

    Returns:
        Success attack rates (SAR) with 95 % intervals (bootstrap by identity; Wilson's over people where
        all or none are accepted): ``type_1`` against the very picture behind the target,
        ``type_2`` against the other pictures of that person (None without any) beside ``real_tmr``, the rate of the
        target's own picture on the same pairs, and ``floor``, the rate against everybody else's pictures.
    """
    vectors, people = gallery.vectors, gallery.identities
    owners = people[gallery.sources]
    scores = images @ vectors.T  # [N, F]
    accepted = scores >= threshold.value
    same = owners[:, None] == people[None, :]
    rates: dict[str, Any] = {"threshold": threshold.value, "fmr": threshold.fmr, "n_non_mated": threshold.n_non_mated}
    rows = np.arange(len(images))
    rates["type_1"] = _rate(accepted[rows, gallery.sources], owners, seed)
    rates["floor"] = float(accepted[~same].mean()) if (~same).any() else None
    same[rows, gallery.sources] = False
    rates["type_2"] = rates["real_tmr"] = None
    if same.any():
        image, other = np.nonzero(same)
        rates["type_2"] = _rate(accepted[image, other], owners[image], seed)
        real = np.einsum("nd,nd->n", vectors[gallery.sources[image]], vectors[other]) >= threshold.value
        rates["real_tmr"] = _rate(real, owners[image], seed)
    return rates


def _rate(accepted: NDArray[np.bool_], identities: NDArray[np.str_], seed: int) -> dict[str, Any]:
    values = accepted.astype(np.float64)
    rate = float(values.mean())
    if rate in (0, 1):  # resampling equal values shows no spread; the people bound it all the same
        n_people = len(np.unique(identities))
        interval = list(wilson(int(rate) * n_people, n_people))
    else:
        interval = _interval_of_mean(values, identities, seed)
    return {"rate": rate, "interval": interval, "n_pairs": len(values)}


def _interval_of_mean(values: Floats, identities: NDArray[np.str_], seed: int) -> list[float]:
    def mean(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {"mean": weights @ values / weights.sum(axis=1)}

    return list(bootstrap_by_identity(mean, identities, identities, seed=seed)["mean"])
