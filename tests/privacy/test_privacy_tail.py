"""The generalised Pareto tail against scipy, closed forms and simulated coverage."""

import numpy as np
import pytest
from scipy import stats

from synthface.privacy.pareto_tail import ParetoTail


def scores(seed, n=200_000):
    return np.random.default_rng(seed).normal(0, 0.1, n)


def test_fit_is_at_least_as_likely_as_that_of_scipy():
    tail = ParetoTail.fit(scores(1), 200_000)
    assert len(tail.excesses) == 200
    assert tail.share == 1e-3
    shape, _, scale = stats.genpareto.fit(tail.excesses, floc=0)
    ours = stats.genpareto.logpdf(tail.excesses, tail.shape, scale=tail.scale).sum()
    assert ours >= stats.genpareto.logpdf(tail.excesses, shape, scale=scale).sum() - 1e-3


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2])
def test_parameters_are_found(shape):
    drawn = stats.genpareto.rvs(shape, scale=0.05, size=20_000, random_state=3)
    tail = ParetoTail.fit(drawn, len(drawn), share=0.5)
    assert tail.shape == pytest.approx(shape, abs=0.04)
    assert tail.scale == pytest.approx(0.05 + shape * tail.level, rel=0.05)  # of what exceeds the level


def test_exponential_tail_in_closed_form():
    tail = ParetoTail(0.5, 1e-3, 0.0, 0.02, np.full(100, 0.02))
    assert tail.probability(0.5) == pytest.approx(1e-3)
    assert tail.probability(0.54) == pytest.approx(1e-3 * np.exp(-2))


def test_nothing_is_told_beyond_two_decades():
    tail = ParetoTail.fit(scores(2), 200_000)
    assert tail.probability(5.0) == tail.furthest == pytest.approx(1 / 200_000 / 100)
    assert tail.interval(5.0).low == pytest.approx(tail.furthest)
    with pytest.raises(ValueError, match="count instead"):
        tail.probability(0.0)


def test_interval_covers_the_truth_beyond_the_data():
    score, covered = 0.45, 0
    truth = stats.norm.sf(score, 0, 0.1)  # 3.4e-6; 40,000 scores reach 2.5e-5
    for seed in range(60):
        low, high = ParetoTail.fit(scores(seed, 40_000), 40_000, share=5e-3).interval(score, 0.90)
        covered += low <= truth <= high
    assert covered >= 46  # 54 is nominal; the normal tail is a Pareto tail only in the limit


def test_interval_is_where_the_profile_likelihood_falls_by_the_quantile():
    tail = ParetoTail.fit(scores(4), 200_000)
    score = tail.level + 0.1
    low, high = tail.interval(score, 0.90)
    assert low < tail.probability(score) < high
    best = stats.genpareto.logpdf(tail.excesses, tail.shape, scale=tail.scale).sum()

    def profile(probability):
        ratio = probability / tail.share
        shapes = np.linspace(-0.9, 0.9, 2000)
        scales = shapes * 0.1 / np.expm1(-shapes * np.log(ratio))
        return max(stats.genpareto.logpdf(tail.excesses, c, scale=s).sum() for c, s in zip(shapes, scales, strict=True))

    for end in (low, high):
        assert 2 * (best - profile(end)) == pytest.approx(stats.chi2.ppf(0.90, 1), abs=0.02)
