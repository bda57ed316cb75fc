"""Membership inference: attacks and their statistics against scipy and loops, and twice in an audit."""

import bisect

import numpy as np
import pytest
from scipy import stats

from synthface.privacy import AuditConfig, Embeddings, audit
from synthface.privacy.attacks import calibrated, count_hits, hit_threshold, same_number_of_photos
from synthface.privacy.gallery import build_gallery
from synthface.privacy.membership import (
    Attack,
    _people_needed,
    advantage,
    epsilon_lower,
    membership_checks,
    rate_interval,
)

SMALL = AuditConfig(permutations=2999, bootstraps=50, min_holdout=20)


def rng(seed=0):
    return np.random.default_rng(seed)


def embeddings(n_people, photos, seed, prefix="p"):
    vectors = rng(seed).standard_normal((n_people * photos, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = np.repeat([f"{prefix}{index:03d}" for index in range(n_people)], photos)
    return Embeddings(vectors, names, np.array([f"{prefix}-{index}" for index in range(len(names))]))


def test_advantage_is_the_one_sided_kolmogorov_distance():
    train, holdout = rng(1).normal(0.4, 1, 80).round(1), rng(2).normal(0, 1, 60).round(1)
    theirs = stats.ks_2samp(holdout, train, alternative="greater").statistic
    assert advantage(train, holdout) == pytest.approx(theirs)


def test_epsilon_of_a_mechanism_that_is_known():
    # randomised response with epsilon = ln 3 answers truly in 3 of 4 cases
    assert epsilon_lower(0.75, 0.25) == pytest.approx(np.log(3))
    assert epsilon_lower(0.01, 0.02) == 0.0


def test_hits_against_loops():
    gallery = build_gallery(embeddings(5, 3, 3), 10)
    images = embeddings(20, 1, 4).vectors
    for person in range(5):
        own = gallery.vectors[gallery.owners == person]
        near = sum(max(float(photo @ image) for photo in own) >= 0.2 for image in images)
        assert count_hits(gallery, images, 0.2)[person] * 20 == pytest.approx(near)
    level = hit_threshold(gallery, images, 0.1)
    assert count_hits(gallery, images, level).mean() == pytest.approx(0.1)


def test_calibration_takes_off_what_strangers_show_too():
    # two people equally near to the set; one is near to everybody
    scores = calibrated(np.array([0.6, 0.6]), np.array([0.6, 0.3]))
    assert scores[0] == pytest.approx(0.0)
    assert scores[1] == pytest.approx(np.log(0.7 / 0.4))
    assert np.isfinite(calibrated(np.array([1.0]), np.array([1.0]))).all()


def test_both_sides_are_cut_to_as_many_photos():
    first, second = same_number_of_photos(embeddings(30, 5, 5), embeddings(40, 3, 6, "q"), rng())
    for item, people in ((first, 30), (second, 40)):
        assert np.unique(item.identities, return_counts=True)[1].tolist() == [3] * people


@pytest.mark.parametrize("n_train", [2000, 10_000])
@pytest.mark.parametrize("truth", [0.01, 0.03, 0.06])
def test_bounds_of_the_rate_hold_though_the_threshold_is_drawn(truth, n_train):
    """Normal scores, and the steepest curve that a true positive rate allows: the straight line from (0, 0)."""
    n_holdout, fpr, draws = 500, 0.01, 4000
    allowed = int(fpr * n_holdout)
    generator, shift = rng(7), stats.norm.isf(fpr) - stats.norm.isf(truth)
    at_threshold = np.sort(generator.random((draws, n_holdout)), axis=1)[:, allowed]  # its false positive rate

    def interval(found):
        return rate_interval(found, n_train, allowed, n_holdout, fpr, 0.95)

    counts = range(n_train + 1)  # the ends rise with what is found
    fewest = bisect.bisect_left(counts, True, key=lambda found: interval(found)[1] >= truth)
    most = bisect.bisect_left(counts, True, key=lambda found: interval(found)[0] > truth) - 1
    for rates in (stats.norm.sf(stats.norm.isf(at_threshold) - shift), truth * at_threshold / fpr):
        found = generator.binomial(n_train, rates)
        assert np.mean(found >= fewest) >= 0.943  # nominal .95, less two standard deviations of 4,000 draws
        assert np.mean(found <= most) >= 0.943


def test_the_rate_s_interval_is_clopper_and_pearson_s_where_the_threshold_is_known():
    from synthface.metrics.intervals import clopper_pearson

    for found in (0, 1, 24, 300):
        ours = rate_interval(found, 300, 10**7, 10**9, 0.01, 0.95)
        assert ours == pytest.approx(tuple(clopper_pearson(found, 300, 0.9)), rel=0.002)
    low, high = rate_interval(24, 2000, 5, 500, 0.01, 0.95)
    known = clopper_pearson(24, 2000, 0.9)
    assert low < known.low < known.high < high


def test_all_attacks_report_their_figures_and_a_null_passes():
    scores = [rng(seed).random(3000) for seed in range(4)]
    attacks = [Attack("", "similarity", scores[0], scores[1]), Attack("count", "counting", scores[2], scores[3])]
    checks = {check.key: check for check in membership_checks(attacks, AuditConfig(permutations=4999), rng(), "one")}
    assert set(checks) == {"auc", "tpr", "tpr_low", "p_count", "advantage", "epsilon"}
    theirs = stats.mannwhitneyu(scores[2], scores[3], alternative="greater", use_continuity=False, method="asymptotic")
    assert checks["p_count"].value == pytest.approx(theirs.pvalue, abs=0.02)
    assert checks["auc"].passed
    assert checks["epsilon"].value == 0.0
    few = [Attack("", "similarity", rng(5).random(200), rng(6).random(200))]
    renamed = {check.key for check in membership_checks(few, SMALL, rng(), "one", other_photos=True)}
    assert renamed == {"other_auc", "other_tpr", "other_advantage", "other_epsilon"}


def test_a_person_is_found_by_photos_that_were_never_used(make_pool):
    pool = make_pool(11, n_train=120, n_holdout=60, n_placebo=40)
    other = pool.world.photos(pool.train_faces, 4, np.unique(pool.train["one"].identities).tolist())
    other = {name: Embeddings(e.vectors, e.identities, np.char.add("other/", e.images)) for name, e in other.items()}
    leaky = pool.release(pool.train_faces[:60], prefix="new")
    roles = {"train": pool.train, "holdout": pool.holdout, "placebo": pool.placebo, "train_other": other}
    found = {
        c.key: c for c in audit(synthetic=leaky, config=SMALL, **roles).gates["A5"].checks if c.recognizer == "one"
    }
    assert found["other_auc"].value > 0.7
    assert found["other_auc"].passed is False
    clean = pool.release(pool.world.people(60), prefix="new")
    found = {
        c.key: c for c in audit(synthetic=clean, config=SMALL, **roles).gates["A5"].checks if c.recognizer == "one"
    }
    assert found["other_auc"].passed is not False
    assert abs(found["other_auc"].value - 0.5) < 0.15


def test_it_says_how_many_people_it_takes():
    def need(rate, interval, n_holdout=554):
        return _people_needed(rate, interval, 1000, n_holdout, AuditConfig())

    assert need(float("nan"), None, 60).startswith("at least 100 hold-out people (60 given)")
    words = "about 4000 training and 2200 hold-out people (1000 and 554 given)"  # half the width: four times as many
    assert need(0.02, (0.01, 0.04)).startswith(words)
    assert "more training and hold-out people" in need(0.04, (0.02, 0.06))
