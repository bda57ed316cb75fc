"""Weighted metrics equal the plain ones on pairs repeated as often as they weigh."""

import numpy as np
import pytest

from synthface.metrics.verification import auc, equal_error_rate, ten_fold_accuracy, tmr_at_fmr
from synthface.metrics.weighted_verification import WeightedPairs


@pytest.fixture(scope="module", params=[0, 1], ids=["continuous", "tied"])
def pairs(request):
    generator = np.random.default_rng(request.param)
    same = generator.random(120) < 0.5
    scores = generator.normal(same * 1.0, 1.0)
    return np.round(scores, 1) if request.param else scores, same, np.arange(120) % 5


def test_unit_weights_give_the_plain_metrics(pairs):
    scores, same, folds = pairs
    weighted = WeightedPairs(scores, same, folds)
    ones = np.ones((2, len(scores)))
    roc = weighted.roc(ones)
    mated, non_mated = scores[same], scores[~same]
    for fmr in (0.0, 0.01, 0.1, 0.5, 1.0):
        np.testing.assert_allclose(roc.tmr_at_fmr(fmr), tmr_at_fmr(mated, non_mated, fmr), atol=1e-12)
    np.testing.assert_allclose(roc.equal_error_rate(), equal_error_rate(mated, non_mated), atol=1e-12)
    np.testing.assert_allclose(roc.auc(), auc(mated, non_mated), atol=1e-12)
    np.testing.assert_allclose(
        weighted.ten_fold_accuracy(ones), ten_fold_accuracy(scores, same, folds).accuracies.mean(), atol=1e-12
    )


def test_whole_weights_repeat_pairs(pairs):
    scores, same, folds = pairs
    weights = np.random.default_rng(9).integers(0, 4, (20, len(scores))).astype(np.float64)
    roc = WeightedPairs(scores, same, folds).roc(weights)
    for row, weight in enumerate(weights.astype(int)):
        repeated, labels = np.repeat(scores, weight), np.repeat(same, weight)
        mated, non_mated = repeated[labels], repeated[~labels]
        assert roc.tmr_at_fmr(0.1)[row] == pytest.approx(tmr_at_fmr(mated, non_mated, 0.1))
        assert roc.equal_error_rate()[row] == pytest.approx(equal_error_rate(mated, non_mated))
        assert roc.auc()[row] == pytest.approx(auc(mated, non_mated))


def test_accuracy_with_whole_weights_equals_a_naive_loop(pairs):
    scores, same, folds = pairs
    weights = np.random.default_rng(3).integers(1, 4, (5, len(scores))).astype(np.float64)
    found = WeightedPairs(scores, same, folds).ten_fold_accuracy(weights)
    for row, weight in enumerate(weights.astype(int)):
        expected = ten_fold_accuracy(np.repeat(scores, weight), np.repeat(same, weight), np.repeat(folds, weight))
        assert found[row] == pytest.approx(expected.mean)


def test_a_side_without_weight_is_undefined_not_wrong(pairs):
    scores, same, _ = pairs
    roc = WeightedPairs(scores, same).roc(np.where(same, 0.0, 1.0)[None])
    assert np.isnan(roc.tmr_at_fmr(0.1)).all()
    assert np.isnan(roc.equal_error_rate()).all()
    assert np.isnan(roc.auc()).all()
