"""DeLong's interval against scikit-learn, double loops and simulated coverage."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from synthface.metrics.delong import delong_auc, placements


def rng(seed=0):
    return np.random.default_rng(seed)


def test_delong_against_scikit_learn_and_double_loops():
    positive, negative = rng(7).normal(0.5, 1, 60).round(1), rng(8).normal(0, 1, 45).round(1)  # with ties
    area, (low, high) = delong_auc(positive, negative, 0.90)
    truth = np.r_[np.ones(60), np.zeros(45)]
    assert area == pytest.approx(roc_auc_score(truth, np.r_[positive, negative]))
    psi = np.array([[1.0 if p > n else 0.5 if p == n else 0.0 for n in negative] for p in positive])
    variance = psi.mean(axis=1).var(ddof=1) / 60 + psi.mean(axis=0).var(ddof=1) / 45
    margin = stats.norm.ppf(0.95) * np.sqrt(variance)
    assert (low, high) == pytest.approx((area - margin, area + margin))


def test_interval_covers_the_true_area():
    truth = stats.norm.cdf(0.5 / np.sqrt(2))
    covered = 0
    for seed in range(400):
        low, high = delong_auc(rng(seed).normal(0.5, 1, 60), rng(seed + 1000).normal(0, 1, 50), 0.90)[1]
        covered += low <= truth <= high
    assert 340 <= covered <= 380  # 360 is nominal; 3.3 standard deviations either way


def test_placements_count_ties_half():
    assert placements(np.array([1.0, 2.0, 5.0]), np.array([1.0, 2.0, 2.0, 3.0])).tolist() == [0.125, 0.5, 1.0]
