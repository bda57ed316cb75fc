"""Intervals against scipy, known values and their promised coverage."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from synthface.core.errors import DataError
from synthface.metrics.intervals import (
    Interval,
    bootstrap_by_identity,
    clopper_pearson,
    identity_weights,
    percentile_interval,
    wilson,
)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (3, 1000), (997, 1000)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_shares_agree_with_scipy(successes, n, level):
    test = binomtest(successes, n)
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        expected = test.proportion_ci(level, method=method)
        assert ours(successes, n, level) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_clopper_pearson_covers_at_least_its_level():
    n = 25
    intervals = [clopper_pearson(k, n) for k in range(n + 1)]
    for share in np.linspace(0.01, 0.99, 45):
        inside = sum(binom.pmf(k, n, share) for k, (low, high) in enumerate(intervals) if low <= share <= high)
        assert inside >= 0.95


def test_no_observation_says_nothing_and_nonsense_is_refused():
    assert wilson(0, 0) == clopper_pearson(0, 0) == (0.0, 1.0)
    for bad in (wilson, clopper_pearson):
        with pytest.raises(ValueError, match="successes"):
            bad(3, 2)


def test_weights_count_both_sides_of_a_pair():
    a, b = np.array(["p", "p", "q"]), np.array(["p", "q", "r"])
    weights = np.concatenate(list(identity_weights(a, b, n_replicates=500, seed=1)))
    # Three people drawn with replacement: counts are whole, p and r at most 3, and p's own pair counts as p itself.
    assert set(np.unique(weights[:, 0])) == {0.0, 1.0, 2.0, 3.0}
    assert set(np.unique(weights[:, 1])) == {0.0, 1.0, 2.0}  # c_p c_q with c_p + c_q <= 3
    assert weights[:, 0].mean() == pytest.approx(1.0, abs=0.15)
    assert weights[:, 1].mean() == pytest.approx(1 - 1 / 3, abs=0.1)  # E[c_p c_q] of a multinomial


def test_blocks_do_not_change_the_draws(monkeypatch):
    a, b = np.arange(20).astype(str), np.arange(1, 21).astype(str)
    whole = np.concatenate(list(identity_weights(a, b, n_replicates=50, seed=3)))
    monkeypatch.setattr("synthface.metrics.intervals._BLOCK_ELEMENTS", 100)
    parts = list(identity_weights(a, b, n_replicates=50, seed=3))
    assert len(parts) > 1
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_interval_of_a_mean_is_as_wide_as_theory_says():
    generator = np.random.default_rng(0)
    n = 400
    values = generator.normal(0, 1, n)
    people = np.arange(n).astype(str)

    def mean(weights):
        return {"mean": (weights * values).sum(axis=1) / weights.sum(axis=1)}

    interval = bootstrap_by_identity(mean, people, people, n_replicates=2000, seed=0)["mean"]
    half = 1.96 * values.std() / np.sqrt(n)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.02)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.02)


def test_shared_people_widen_the_interval():
    # 10 people with 40 identical pairs each: 400 pairs, but only 10 independent values.
    values = np.repeat(np.random.default_rng(1).normal(0, 1, 10), 40)
    people = np.repeat(np.arange(10).astype(str), 40)

    def mean(weights):
        return {"mean": (weights * values).sum(axis=1) / weights.sum(axis=1)}

    by_person = bootstrap_by_identity(mean, people, people, n_replicates=500)["mean"]
    by_pair = bootstrap_by_identity(mean, np.arange(400), np.arange(400), n_replicates=500)["mean"]
    assert by_person.high - by_person.low > 4 * (by_pair.high - by_pair.low)


def test_undefined_replicates_are_left_out():
    assert percentile_interval([np.nan, 1.0, 1.0]) == Interval(1.0, 1.0)
    assert np.isnan(percentile_interval([np.nan])).all()
    with pytest.raises(DataError, match="two equal lists"):
        list(identity_weights(["a"], ["a", "b"], n_replicates=1, seed=0))
