"""V1: verification on the hold-out, its interval, and thresholds."""

import numpy as np
import pytest

from synthface.metrics.intervals import identity_weights
from synthface.metrics.verification import tmr_at_fmr
from synthface.metrics.weighted_verification import WeightedPairs
from synthface.privacy.config import AuditConfig
from synthface.privacy.gallery import build_gallery
from synthface.privacy.recognizer_check import recognizer_check, verify


def all_pairs(gallery):
    first, second = np.triu_indices(len(gallery.vectors), k=1)
    scores = np.array([gallery.vectors[i] @ gallery.vectors[j] for i, j in zip(first, second, strict=True)])
    return scores, gallery.owners[first], gallery.owners[second]


@pytest.fixture
def gallery(make_pool):
    return build_gallery(make_pool(5, n_holdout=60, dimensions=32).holdout["one"], 20)


def test_rate_is_that_of_all_pairs(gallery):
    scores, a, b = all_pairs(gallery)
    result = verify(gallery, AuditConfig(bootstraps=50), np.random.default_rng(0))
    assert result.tmr == pytest.approx(tmr_at_fmr(scores[a == b], scores[a != b], 1e-3), abs=1e-3)
    assert len(result.mated) == np.count_nonzero(a == b)


def test_interval_agrees_with_weighting_every_pair(gallery):
    scores, a, b = all_pairs(gallery)
    pairs = WeightedPairs(scores, a == b)
    draws = np.concatenate([pairs.roc(w).tmr_at_fmr(1e-2) for w in identity_weights(a, b, n_replicates=400, seed=1)])
    expected = np.nanquantile(draws, [0.05, 0.95])
    result = verify(gallery, AuditConfig(fmr=1e-2, bootstraps=800), np.random.default_rng(0))
    assert result.interval == pytest.approx(expected, abs=0.02)


def test_one_photo_people_cannot_test_a_recogniser(make_pool):
    pool = make_pool(5)
    first = np.unique(pool.holdout["one"].identities, return_index=True)[1]
    gallery = build_gallery(pool.holdout["one"].take(first), 20)
    config = AuditConfig(bootstraps=10)
    check = recognizer_check(verify(gallery, config, np.random.default_rng(0)), len(gallery), config, "one")
    assert check.passed is False
    assert "two or more photos" in check.need
