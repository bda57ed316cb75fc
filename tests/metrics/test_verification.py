"""Verification metrics against closed forms, naive loops, scikit-learn and torchmetrics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from synthface.core.errors import DataError
from synthface.metrics.verification import (
    auc,
    best_threshold,
    equal_error_rate,
    fisher_ratio,
    roc_curve,
    ten_fold_accuracy,
    threshold_at_fmr,
    tmr_at_fmr,
)

# Few distinct values, so that ties are the rule.
SCORES = st.lists(st.integers(-4, 4).map(lambda k: k / 4), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def normal_scores():
    generator = np.random.default_rng(0)
    return generator.normal(1.5, 1, 500), generator.normal(0, 1, 500)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(SCORES, SCORES, st.sampled_from([0.0, 0.01, 0.1, 1 / 3, 0.5, 1.0]))
def test_tmr_at_fmr_equals_a_search_over_all_thresholds(mated, non_mated, fmr):
    mated, non_mated = np.array(mated), np.array(non_mated)
    candidates = np.concatenate((mated, non_mated, [np.inf]))
    reachable = [np.mean(mated >= t) for t in candidates if np.mean(non_mated >= t) <= fmr + 1e-12]
    assert tmr_at_fmr(mated, non_mated, fmr) == pytest.approx(max(reachable))
    assert np.mean(non_mated >= threshold_at_fmr(non_mated, fmr)) <= fmr + 1e-12


def test_count_of_false_matches_survives_decimal_rounding():
    non_mated = np.arange(100.0)  # 0.29 * 100 is 28.999999999999996 in floating point
    assert np.sum(non_mated >= threshold_at_fmr(non_mated, 0.29)) == 29
    assert threshold_at_fmr(non_mated, 1.0) == -np.inf
    with pytest.raises(ValueError, match="FMR"):
        threshold_at_fmr(non_mated, 1.5)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(SCORES, SCORES)
def test_auc_counts_pairs_with_half_for_ties(mated, non_mated):
    wins = [1.0 if m > n else 0.5 if m == n else 0.0 for m in mated for n in non_mated]
    assert auc(mated, non_mated) == pytest.approx(np.mean(wins), abs=1e-12)


def test_roc_and_auc_agree_with_scikit_learn(normal_scores):
    metrics = pytest.importorskip("sklearn.metrics")
    mated, non_mated = (np.round(part, 1) for part in normal_scores)  # with ties
    truth = np.repeat([1, 0], [len(mated), len(non_mated)])
    both = np.concatenate((mated, non_mated))
    fmr, tmr, thresholds = metrics.roc_curve(truth, both, drop_intermediate=False)
    curve = roc_curve(mated, non_mated)
    np.testing.assert_allclose(curve.fmr, fmr, atol=1e-15)
    np.testing.assert_allclose(curve.tmr, tmr, atol=1e-15)
    np.testing.assert_array_equal(curve.thresholds[1:], thresholds[1:])
    assert auc(mated, non_mated) == pytest.approx(metrics.roc_auc_score(truth, both), abs=1e-12)


def test_eer_agrees_with_torchmetrics(normal_scores):
    functional = pytest.importorskip("torchmetrics.functional.classification")
    import torch

    mated, non_mated = normal_scores
    scores = torch.sigmoid(torch.from_numpy(np.concatenate((mated, non_mated))))  # it wants probabilities
    truth = torch.from_numpy(np.repeat([1, 0], [len(mated), len(non_mated)]))
    assert equal_error_rate(mated, non_mated) == pytest.approx(float(functional.binary_eer(scores, truth)), abs=1e-6)


def test_metrics_approach_the_closed_forms_of_two_normals():
    shift, n = 2.0, 200_000
    quantiles = norm.ppf((np.arange(n) + 0.5) / n)
    mated, non_mated = quantiles + shift, quantiles
    assert equal_error_rate(mated, non_mated) == pytest.approx(norm.cdf(-shift / 2), abs=1e-4)
    assert auc(mated, non_mated) == pytest.approx(norm.cdf(shift / np.sqrt(2)), abs=1e-4)
    assert tmr_at_fmr(mated, non_mated, 1e-2) == pytest.approx(norm.sf(norm.isf(1e-2) - shift), abs=1e-4)
    assert fisher_ratio(mated, non_mated) == pytest.approx(shift**2 / 2, abs=1e-3)


@pytest.mark.parametrize(
    ("mated", "non_mated", "expected"),
    [
        ([1.0], [0.0], 0.0),
        ([0.0], [1.0], 1.0),
        ([0.5], [0.5], 0.5),
        ([0, 2], [1, 3], 0.5),
        ([1, 2, 3], [0, 0, 2], 1 / 3),
    ],
)
def test_eer_of_small_cases(mated, non_mated, expected):
    assert equal_error_rate(mated, non_mated) == pytest.approx(expected)


def test_best_threshold_equals_a_search_over_gaps():
    generator = np.random.default_rng(1)
    for _ in range(50):
        scores, mated = generator.integers(0, 8, 20) / 8, generator.random(20) < 0.5
        distinct = np.unique(scores)
        gaps = [np.inf, *((distinct[1:] + distinct[:-1]) / 2)[::-1], -np.inf]
        right = [np.sum((scores >= gap) == mated) for gap in gaps]
        assert best_threshold(scores, mated) == gaps[int(np.argmax(right))]


def test_ten_fold_accuracy_never_looks_at_the_fold_it_judges():
    scores = np.array([0.9, 0.1, 0.8, 0.2, 0.4, 0.3])
    same = np.array([True, False, True, False, False, True])
    folds = np.array([0, 0, 1, 1, 2, 2])
    result = ten_fold_accuracy(scores, same, folds)
    # Fold 2 is the odd one: judged at 0.5 (best on the others), its mated pair at 0.3 is rejected, 0.4 rightly so.
    assert result.accuracies.tolist() == [1.0, 1.0, 0.5]
    assert result.thresholds[2] == pytest.approx(0.5)
    assert result.mean == pytest.approx(2.5 / 3)
    assert result.std == pytest.approx(np.std([1, 1, 0.5], ddof=1))


def test_scores_that_mean_nothing_are_refused():
    with pytest.raises(DataError, match="no mated pairs"):
        auc([], [0.1])
    with pytest.raises(DataError, match="NaN"):
        tmr_at_fmr([0.1], [np.nan], 0.1)
    with pytest.raises(DataError, match="two folds"):
        ten_fold_accuracy([0.1, 0.2], [True, False], [0, 0])
