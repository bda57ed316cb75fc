"""What can be said of one labelled set under one recogniser: how well labels tell faces apart, and how many people."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.metrics.capacity import log_capacity
from synthface.metrics.class_measures import class_means, consistent_images, unique_classes
from synthface.metrics.intervals import bootstrap_by_identity
from synthface.metrics.merged_classes import merge_classes
from synthface.metrics.verification_summary import ScoredPairs, summarise

Floats = NDArray[np.float64]
Measure = dict[str, Any]  # {"value": number or None, "interval": [low, high] or None}
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Resampling:
    """How intervals are found: bootstrap over identities.

    Attributes:
        replicates: how many times identities are drawn anew.
        seed: of the draws.
    """

    replicates: int = 200
    seed: int = 0


def measure(value: float, interval: ArrayLike | None = None) -> Measure:
    """Return a figure with its 95 % interval as JSON values; what is not finite becomes null."""
    ends = None if interval is None else [float(end) for end in np.asarray(interval, dtype=np.float64)]
    return {
        "value": float(value) if np.isfinite(value) else None,
        "interval": ends if ends is not None and np.isfinite(ends).all() else None,
    }


def separability(pairs: ScoredPairs, resampling: Resampling) -> dict[str, Measure]:
    """Return EER, FMR100, FMR1000, AUC and Fisher ratio; FMR100 is the FNMR where the FMR is at most 1 in 100."""
    summary = summarise(pairs, n_replicates=resampling.replicates, seed=resampling.seed)
    figures = {name: measure(summary[name], summary[f"{name}_interval"]) for name in ("eer", "auc", "fisher_ratio")}
    for name, point in (("fmr100", "1e-2"), ("fmr1000", "1e-3")):
        tmr, ends = summary[f"tmr_at_fmr_{point}"], summary[f"tmr_at_fmr_{point}_interval"]
        figures[name] = measure(1 - tmr, None if ends is None else [1 - ends[1], 1 - ends[0]])
    for side, scores in (("mated", pairs.mated), ("non_mated", pairs.non_mated)):
        figures[f"{side}_mean"], figures[f"{side}_sd"] = measure(scores.mean()), measure(scores.std())
    return figures


def class_structure(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    mated: Floats,
    *,
    r: float,
    threshold: float | None,
    resampling: Resampling,
) -> dict[str, Measure]:
    """Return uniqueness and consistency at r, and what is left of the classes at a threshold.

    Args:
        vectors: [N, D] unit embeddings.
        labels: [N] class numbers.
        mated: scores within classes.
        r: cosine of DCFace's measures.
        threshold: cosine from which two images are one person; None if no such cosine is known.
        resampling: of the identities. Uniqueness and the counts have no interval: they are figures of this set and of
            its size, and a class drawn twice would match itself.
    """
    means = class_means(vectors, labels)
    unique = unique_classes(means, r)
    figures = {"uniqueness": measure(unique.mean()), "unique_identities": measure(unique.sum())}
    for name, leave_out in (("consistency", False), ("consistency_of_others", True)):
        flags = consistent_images(vectors, labels, r, leave_out=leave_out)
        figures[name] = mean_over_classes(flags.astype(np.float64), labels, resampling)
    if threshold is not None and np.isfinite(threshold):
        merged = merge_classes(means, threshold)
        half = _Z95 * merged.standard_error
        figures["merged_pairs"] = measure(merged.share, [max(0.0, merged.share - half), min(1.0, merged.share + half)])
        figures["identities"] = measure(merged.identities)
        centres = (means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)).astype(np.float32)
        figures["log10_capacity"] = measure(log_capacity(centres, mated, threshold))
    return figures


def mean_over_classes(values: Floats, labels: ArrayLike, resampling: Resampling) -> Measure:
    """Return the mean over classes of the mean within each, with an interval by class."""
    numbers, index, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    means = np.bincount(index, weights=values) / counts
    return _mean(means, numbers, resampling)


def image_distribution(values: ArrayLike, labels: ArrayLike, resampling: Resampling) -> dict[str, Any]:
    """Return mean (over images, interval by identity) and quantiles of a figure that every image has."""
    numbers = np.asarray(values, dtype=np.float64)
    quantiles = {f"{q:g}": float(value) for q, value in zip(QUANTILES, np.quantile(numbers, QUANTILES), strict=True)}
    return {"mean": _mean(numbers, np.asarray(labels), resampling), "quantiles": quantiles}


def _mean(values: Floats, owners: NDArray[Any], resampling: Resampling) -> Measure:
    def statistics(weights: Floats) -> dict[str, Floats]:
        return {"mean": (weights @ values) / weights.sum(axis=1)}

    interval = bootstrap_by_identity(
        statistics, owners, owners, n_replicates=resampling.replicates, seed=resampling.seed
    )["mean"]
    return measure(values.mean(), interval)
