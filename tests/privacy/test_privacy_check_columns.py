"""What stands beside a value: chance, training people and hold-out, each what its name says."""

import numpy as np
import pytest

from synthface.privacy import AuditConfig
from synthface.privacy.excess import excess_checks
from synthface.privacy.gates import largest_needs


def test_the_excess_tells_both_sides_and_calls_neither_chance():
    rng = np.random.default_rng(0)
    train, holdout = rng.normal(0.2, 1, 300), rng.normal(0, 1, 200)
    config = AuditConfig(permutations=99, bootstraps=100, tail_people=10)
    mean, tail, residual = excess_checks(train, holdout, config, rng, "one")
    assert (mean.training, mean.control) == pytest.approx((train.mean(), holdout.mean()))
    nearest = np.concatenate([np.ones(300), np.zeros(200)])[np.argsort(-np.concatenate([train, holdout]))[:10]]
    assert (tail.training, tail.control) == pytest.approx((nearest.mean(), 1 - nearest.mean()))
    threshold = np.sort(holdout)[-3]
    assert (residual.training, residual.control) == pytest.approx((np.mean(train > threshold), 0.01))
    assert {check.baseline for check in (mean, tail, residual)} == {None}


def test_of_needs_that_differ_in_numbers_the_largest_is_told_in_the_place_of_the_first():
    needs = ["about 189 classes, to bound x", "a placebo", "about 1208 classes, to bound x", "a placebo"]
    assert largest_needs(needs) == ("about 1208 classes, to bound x", "a placebo")
