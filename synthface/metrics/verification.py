"""Verification metrics from comparison scores (ISO/IEC 19795-1 terms: mated, non-mated, FMR, TMR, FNMR).

One convention throughout: a pair is accepted when its score is greater than or equal to the threshold, so tied
scores are accepted or rejected together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.core.errors import DataError

Floats = NDArray[np.float64]
_COUNT_TOLERANCE = 1e-9  # 0.29 * 100 is 28.999...: it means 29 false matches are allowed


@dataclass(frozen=True)
class RocCurve:
    """Error rates at every threshold that makes a difference, from the strictest to the loosest.

    Attributes:
        thresholds: [K] decreasing, from infinity (nothing accepted) to the smallest score (all accepted).
        fmr: [K] share of non-mated pairs accepted, from 0 to 1.
        tmr: [K] share of mated pairs accepted, from 0 to 1; FNMR is 1 - TMR.
    """

    thresholds: Floats
    fmr: Floats
    tmr: Floats


@dataclass(frozen=True)
class TenFoldAccuracy:
    """Accuracy under the LFW View 2 protocol.

    Attributes:
        accuracies: [F] accuracy on each fold at the threshold chosen on the others.
        thresholds: [F] those thresholds.
    """

    accuracies: Floats
    thresholds: Floats

    @property
    def mean(self) -> float:
        """Mean accuracy over the folds."""
        return float(self.accuracies.mean())

    @property
    def std(self) -> float:
        """Sample standard deviation (n - 1) over the folds; LFW's standard error is this / sqrt(10)."""
        return float(self.accuracies.std(ddof=1))


def scores_of(values: ArrayLike, *, what: str) -> Floats:
    """Return scores as [N] float64.

    Raises:
        DataError: none at all, or NaN among them.
    """
    scores = np.asarray(values, dtype=np.float64).ravel()
    if not len(scores):
        raise DataError(f"there are no {what} pairs; at least one is needed")
    if np.isnan(scores).any():
        raise DataError(f"{int(np.isnan(scores).sum())} of {len(scores)} {what} scores are NaN")
    return scores


def roc_curve(mated: ArrayLike, non_mated: ArrayLike) -> RocCurve:
    """Return FMR and TMR at every distinct score, exact under ties."""
    positive, negative = np.sort(scores_of(mated, what="mated")), np.sort(scores_of(non_mated, what="non-mated"))
    thresholds = np.concatenate(([np.inf], np.unique(np.concatenate((positive, negative)))[::-1]))
    return RocCurve(thresholds, _share_accepted(negative, thresholds), _share_accepted(positive, thresholds))


def _share_accepted(ascending: Floats, thresholds: Floats) -> Floats:
    return (len(ascending) - np.searchsorted(ascending, thresholds, side="left")) / len(ascending)


def allowed_false_matches(fmr: float, n: float) -> int:
    """Return how many of ``n`` non-mated pairs may be accepted at this FMR."""
    if not 0 <= fmr <= 1:
        raise ValueError(f"FMR {fmr} is not in [0, 1]")
    return int(np.floor(fmr * n + _COUNT_TOLERANCE))


def threshold_at_fmr(non_mated: ArrayLike, fmr: float) -> float:
    """Return the smallest threshold whose FMR does not exceed ``fmr``.

    It lies just above the first score that must be rejected; minus infinity if none must.
    """
    negative = scores_of(non_mated, what="non-mated")
    allowed = allowed_false_matches(fmr, len(negative))
    if allowed >= len(negative):
        return -np.inf
    rejected = np.partition(negative, len(negative) - 1 - allowed)[len(negative) - 1 - allowed]
    return float(np.nextafter(rejected, np.inf))


def tmr_at_fmr(mated: ArrayLike, non_mated: ArrayLike, fmr: float) -> float:
    """Return the share of mated pairs accepted at the smallest threshold whose FMR does not exceed ``fmr``."""
    positive = scores_of(mated, what="mated")
    return float((positive >= threshold_at_fmr(non_mated, fmr)).mean())


def equal_error_rate(mated: ArrayLike, non_mated: ArrayLike) -> float:
    """Return the error rate where FMR = FNMR, on the straight line between the two ROC points that enclose it."""
    curve = roc_curve(mated, non_mated)
    difference = curve.fmr + curve.tmr - 1  # FMR - FNMR: from -1 up to 1
    right = int(np.argmax(difference >= 0))
    left = right - 1
    share = -difference[left] / (difference[right] - difference[left])
    return float(curve.fmr[left] + share * (curve.fmr[right] - curve.fmr[left]))


def auc(mated: ArrayLike, non_mated: ArrayLike) -> float:
    """Return the probability that a mated pair scores above a non-mated one, ties counting half (Mann-Whitney U)."""
    positive, negative = scores_of(mated, what="mated"), np.sort(scores_of(non_mated, what="non-mated"))
    below = np.searchsorted(negative, positive, side="left").astype(np.float64)
    not_above = np.searchsorted(negative, positive, side="right")
    return float((below + not_above).sum() / (2 * len(positive) * len(negative)))


def fisher_ratio(mated: ArrayLike, non_mated: ArrayLike) -> float:
    """Return the Fisher discriminant ratio (mean difference)^2 / (variance + variance); infinite if nothing varies."""
    positive, negative = scores_of(mated, what="mated"), scores_of(non_mated, what="non-mated")
    spread = float(positive.var() + negative.var())
    gap = float(positive.mean() - negative.mean()) ** 2
    return gap / spread if spread > 0 else (np.inf if gap > 0 else 0.0)


def ten_fold_accuracy(scores: ArrayLike, same: ArrayLike, folds: ArrayLike) -> TenFoldAccuracy:
    """Return the accuracy under LFW's View 2: a fold is judged at the threshold that is best on the other folds.

    Candidates lie midway between neighbouring scores of the other folds; of several equally good ones the strictest
    is taken.

    Args:
        scores: [N] comparison scores.
        same: [N] true where the pair is mated.
        folds: [N] fold of each pair; ten in LFW, at least two.

    Source: Huang et al., "Labeled Faces in the Wild", UMass TR 07-49 (2007), section III.
    """
    values, mated, fold = scores_of(scores, what="scored"), np.asarray(same, dtype=bool), np.asarray(folds)
    names = np.unique(fold)
    if len(names) < 2:
        raise DataError("accuracy over folds needs at least two folds")
    thresholds = np.array([best_threshold(values[fold != name], mated[fold != name]) for name in names])
    accuracies = [
        float(((values >= threshold) == mated)[fold == name].mean())
        for name, threshold in zip(names, thresholds, strict=True)
    ]
    return TenFoldAccuracy(np.array(accuracies), thresholds)


def candidate_thresholds(scores: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Return thresholds midway between distinct scores, decreasing, and how many scores each accepts.

    The first accepts nothing (infinity), the last everything (minus infinity).
    """
    distinct, counts = np.unique(scores, return_counts=True)
    midway = (distinct[1:] + distinct[:-1]) / 2
    thresholds = np.concatenate(([-np.inf], midway, [np.inf]))[::-1]
    return thresholds, np.concatenate(([0], np.cumsum(counts[::-1])))


def best_threshold(scores: Floats, mated: NDArray[np.bool_]) -> float:
    """Return the strictest of the thresholds that classify most pairs rightly."""
    thresholds, accepted = candidate_thresholds(scores)
    gain = np.where(mated, 1, -1)[np.argsort(-scores, kind="stable")]
    correct = np.concatenate(([0], np.cumsum(gain)))[accepted]
    return float(thresholds[int(np.argmax(correct))])
