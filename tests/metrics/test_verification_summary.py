"""The benchmark's figures: complete, inside their intervals, undefined where they cannot be known."""

import numpy as np
import pytest

from synthface.core.errors import DataError
from synthface.metrics.verification_summary import ScoredPairs, summarise


def _pairs(n_folds: int, seed: int = 0) -> ScoredPairs:
    generator = np.random.default_rng(seed)
    same = np.arange(400) % 2 == 0
    a = generator.integers(0, 80, 400).astype(str)
    b = np.where(same, a, generator.integers(80, 160, 400).astype(str))
    return ScoredPairs(generator.normal(same * 2.5, 1), same, np.arange(400) // 2 % n_folds, a, b)


def test_figures_lie_in_their_intervals():
    summary = summarise(_pairs(10), n_replicates=200)
    for name in ("accuracy_mean", "tmr_at_fmr_1e-2", "eer", "auc"):
        low, high = summary[f"{name}_interval"]
        assert low < summary[name] < high
    assert summary["n_pairs"] == 400
    assert summary["n_mated"] == 200
    assert summarise(_pairs(10), n_replicates=200) == summary


def test_one_fold_has_no_accuracy_but_the_rest():
    summary = summarise(_pairs(1), n_replicates=100)
    assert summary["accuracy_mean"] is None
    assert "accuracy_mean_interval" not in summary
    assert 0 < summary["eer"] < 0.5


def test_pairs_of_one_kind_are_refused():
    names = np.array(["a"])
    with pytest.raises(DataError, match="non-mated"):
        ScoredPairs(np.ones(1), np.array([True]), np.zeros(1, np.int64), names, names)
