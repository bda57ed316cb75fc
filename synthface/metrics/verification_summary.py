"""The figures that a verification benchmark reports, each with its interval."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.core.errors import DataError
from synthface.metrics.intervals import bootstrap_by_identity
from synthface.metrics.verification import (
    Floats,
    allowed_false_matches,
    auc,
    equal_error_rate,
    fisher_ratio,
    ten_fold_accuracy,
    threshold_at_fmr,
    tmr_at_fmr,
)
from synthface.metrics.weighted_verification import WeightedPairs

FMR_POINTS = {"1e-2": 1e-2, "1e-3": 1e-3}
_FEW_FALSE_MATCHES = 10


@dataclass(frozen=True)
class ScoredPairs:
    """Comparison scores of a list of pairs.

    Attributes:
        scores: [N] similarity, larger for more alike.
        same: [N] true where the pair is mated.
        folds: [N] fold of each pair.
        identities_a: [N] identity of the first image.
        identities_b: [N] identity of the second image.
    """

    scores: Floats
    same: NDArray[np.bool_]
    folds: NDArray[np.int64]
    identities_a: NDArray[np.str_]
    identities_b: NDArray[np.str_]

    def __post_init__(self) -> None:
        if not self.same.any() or self.same.all():
            kind = "non-mated" if self.same.any() else "mated"
            raise DataError(f"none of the {len(self.same)} pairs is {kind}; both kinds are needed")

    @property
    def mated(self) -> Floats:
        """Scores of the mated pairs."""
        return self.scores[self.same]

    @property
    def non_mated(self) -> Floats:
        """Scores of the non-mated pairs."""
        return self.scores[~self.same]


def too_few_for(n_non_mated: int) -> list[str]:
    """Return a sentence for each FMR of ``FMR_POINTS`` at which so many non-mated pairs allow few false matches."""
    sentences = []
    for name, fmr in FMR_POINTS.items():
        allowed = allowed_false_matches(fmr, n_non_mated)
        if not allowed:
            sentences.append(
                f"{n_non_mated:,} non-mated pairs are too few for an FMR of {name} ({round(1 / fmr):,} are needed): "
                "the TMR there is that without any false match"
            )
        elif allowed < _FEW_FALSE_MATCHES:
            sentences.append(
                f"an FMR of {name} is {allowed} of {n_non_mated:,} non-mated pairs: the TMR there hangs on a few, and "
                "its interval reaches too high, since these are missing from many of the samples it is made from"
            )
    return sentences


def summarise(pairs: ScoredPairs, *, n_replicates: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Return the benchmark's figures as JSON values, with 95 % intervals by ``bootstrap_by_identity``.

    Accuracy needs two folds or more; it is null without.
    """
    mated, non_mated = pairs.mated, pairs.non_mated
    several_folds = len(np.unique(pairs.folds)) > 1
    folds = ten_fold_accuracy(pairs.scores, pairs.same, pairs.folds) if several_folds else None
    summary: dict[str, Any] = {
        "accuracy_mean": folds.mean if folds else None,
        "accuracy_std": folds.std if folds else None,
        "accuracy_folds": folds.accuracies.tolist() if folds else None,
        "accuracy_thresholds": folds.thresholds.tolist() if folds else None,
    }
    for name, fmr in FMR_POINTS.items():
        summary[f"tmr_at_fmr_{name}"] = tmr_at_fmr(mated, non_mated, fmr)
        threshold = threshold_at_fmr(non_mated, fmr)
        summary[f"threshold_at_fmr_{name}"] = threshold if np.isfinite(threshold) else None
    summary |= {
        "eer": equal_error_rate(mated, non_mated),
        "auc": auc(mated, non_mated),
        "fisher_ratio": fisher_ratio(mated, non_mated),
        "n_pairs": len(pairs.scores),
        "n_mated": int(pairs.same.sum()),
    }
    weighted = WeightedPairs(pairs.scores, pairs.same, pairs.folds)

    def statistics(weights: ArrayLike) -> dict[str, Floats]:
        array = np.asarray(weights, dtype=np.float64)
        roc = weighted.roc(array)
        values = {f"tmr_at_fmr_{name}": roc.tmr_at_fmr(fmr) for name, fmr in FMR_POINTS.items()}
        values |= {"eer": roc.equal_error_rate(), "auc": roc.auc(), "fisher_ratio": weighted.fisher_ratio(array)}
        if several_folds:
            values["accuracy_mean"] = weighted.ten_fold_accuracy(array)
        return values

    intervals = bootstrap_by_identity(
        statistics, pairs.identities_a, pairs.identities_b, n_replicates=n_replicates, seed=seed
    )
    for name, interval in intervals.items():
        summary[f"{name}_interval"] = list(interval) if np.isfinite(interval).all() else None
    return summary
