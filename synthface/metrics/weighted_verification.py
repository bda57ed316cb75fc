"""The verification metrics with a weight on every pair, for many weightings at once: what a bootstrap evaluates."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.metrics.verification import Floats, allowed_false_matches, candidate_thresholds, scores_of


class WeightedPairs:
    """Pairs sorted once, then evaluated under many weightings.

    A pair of weight k counts as k pairs. With all weights 1 each metric equals that of ``verification``.

    Args:
        scores: [N] comparison scores.
        same: [N] true where the pair is mated.
        folds: [N] fold of each pair, or None if no accuracy is asked for.
    """

    def __init__(self, scores: ArrayLike, same: ArrayLike, folds: ArrayLike | None = None) -> None:
        self._scores = scores_of(scores, what="scored")
        self._same = np.asarray(same, dtype=bool)
        self._folds = None if folds is None else np.asarray(folds)
        self._order = np.argsort(-self._scores, kind="stable")
        ordered = self._scores[self._order]
        # A threshold can fall only after the last of several equal scores.
        self._ends = np.flatnonzero(np.concatenate((ordered[1:] != ordered[:-1], [True])))

    def roc(self, weights: Floats) -> "WeightedRoc":
        """Return one ROC curve for each row of weights [B, N]."""
        ordered = weights[:, self._order]
        mated = self._same[self._order]
        return WeightedRoc(*(self._accepted(ordered * side) for side in (~mated, mated)))

    def _accepted(self, ordered: Floats) -> Floats:
        accepted = np.cumsum(ordered, axis=1)[:, self._ends]
        return np.concatenate((np.zeros((len(ordered), 1)), accepted), axis=1)

    def fisher_ratio(self, weights: Floats) -> Floats:
        """Return [B] Fisher discriminant ratios, as in ``verification.fisher_ratio``."""
        with np.errstate(invalid="ignore", divide="ignore"):
            (mated, mated_variance), (non_mated, non_mated_variance) = (
                self._moments(weights, side) for side in (self._same, ~self._same)
            )
            return np.asarray(np.square(mated - non_mated) / (mated_variance + non_mated_variance))

    def _moments(self, weights: Floats, chosen: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        scores, part = self._scores[chosen], weights[:, chosen]
        centre = scores.mean() if len(scores) else 0.0  # near the weighted means, so that squares do not cancel
        total = part.sum(axis=1)
        shift = part @ (scores - centre) / total
        return centre + shift, part @ np.square(scores - centre) / total - np.square(shift)

    def ten_fold_accuracy(self, weights: Floats) -> Floats:
        """Return [B] mean accuracies over the folds, as in ``verification.ten_fold_accuracy``."""
        assert self._folds is not None, "folds are needed for an accuracy"
        names = np.unique(self._folds)
        return np.asarray(np.mean([self._fold_accuracy(weights, self._folds == name) for name in names], axis=0))

    def _fold_accuracy(self, weights: Floats, held_out: NDArray[np.bool_]) -> Floats:
        thresholds, accepted = candidate_thresholds(self._scores[~held_out])
        best = np.argmax(self._gain(weights, ~held_out)[:, accepted], axis=1)
        tested = np.sort(self._scores[held_out])
        accepted_in_test = len(tested) - np.searchsorted(tested, thresholds[best], side="left")
        rejected_rightly = weights[:, held_out & ~self._same].sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            correct = rejected_rightly + _at(self._gain(weights, held_out), accepted_in_test)
            return np.asarray(correct / weights[:, held_out].sum(axis=1))

    def _gain(self, weights: Floats, chosen: NDArray[np.bool_]) -> Floats:
        """Return [B, n + 1] how many more pairs are right when the first k in order are accepted, k = 0..n."""
        order = self._order[chosen[self._order]]
        gain = np.cumsum(weights[:, order] * np.where(self._same[order], 1.0, -1.0), axis=1)
        return np.concatenate((np.zeros((len(weights), 1)), gain), axis=1)


class WeightedRoc:
    """B ROC curves over the same thresholds; metrics are NaN where the mated or the non-mated side weighs nothing.

    Args:
        false_matches: [B, K + 1] accepted weight of the non-mated pairs, from 0 to all of it.
        true_matches: [B, K + 1] accepted weight of the mated pairs.
    """

    def __init__(self, false_matches: Floats, true_matches: Floats) -> None:
        self._false_matches = false_matches
        with np.errstate(invalid="ignore", divide="ignore"):
            self.fmr = false_matches / false_matches[:, -1:]
            self.tmr = true_matches / true_matches[:, -1:]

    def tmr_at_fmr(self, fmr: float) -> Floats:
        """Return [B] TMR at the smallest threshold whose FMR does not exceed ``fmr``."""
        allowed = np.array([allowed_false_matches(fmr, total) for total in self._false_matches[:, -1]])
        within = self._false_matches <= allowed[:, None]
        last = within.shape[1] - 1 - np.argmax(within[:, ::-1], axis=1)
        return np.where(np.isnan(self.fmr[:, -1]), np.nan, _at(self.tmr, last))

    def equal_error_rate(self) -> Floats:
        """Return [B] equal error rates, interpolated as in ``verification.equal_error_rate``."""
        difference = self.fmr + self.tmr - 1
        right = np.maximum(np.argmax(difference >= 0, axis=1), 1)
        before, after = _at(difference, right - 1), _at(difference, right)
        with np.errstate(invalid="ignore"):
            share = -before / (after - before)
            return np.asarray(_at(self.fmr, right - 1) + share * (_at(self.fmr, right) - _at(self.fmr, right - 1)))

    def auc(self) -> Floats:
        """Return [B] areas under the ROC curve, ties counting half."""
        return np.asarray(((self.tmr[:, 1:] + self.tmr[:, :-1]) / 2 * np.diff(self.fmr, axis=1)).sum(axis=1))


def _at(values: Floats, columns: NDArray[np.intp]) -> Floats:
    return np.asarray(np.take_along_axis(values, columns[:, None], axis=1)[:, 0])
