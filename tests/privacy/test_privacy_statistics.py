"""The audit's statistics against scipy, scikit-learn, closed forms and naive loops."""

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy import integrate, stats

from synthface.privacy import data_copying_checks, flags
from synthface.privacy.chance import ChanceMaxima
from synthface.privacy.config import AuditConfig
from synthface.privacy.excess import residual_risk
from synthface.privacy.flags import raise_alarm
from synthface.privacy.gallery import Gallery, unit
from synthface.privacy.linkage import measure_linkage
from synthface.privacy.membership import exceedance_p
from synthface.privacy.multiple_testing import benjamini_hochberg, holm
from synthface.privacy.permutation import hypergeometric_tail, mean_difference_null, p_value
from synthface.privacy.unlinkability import ScoreBins


def rng(seed=0):
    return np.random.default_rng(seed)


def test_tag_permutation_agrees_with_scipy():
    first, second = rng(1).normal(0.4, 1, 30), rng(2).normal(0, 1, 20)
    null = mean_difference_null(first, second, 20_000, rng())
    ours = p_value(null, first.mean() - second.mean())
    theirs = stats.permutation_test(
        (first, second),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        vectorized=True,
        alternative="greater",
        n_resamples=20_000,
        rng=3,
    )
    assert ours == pytest.approx(theirs.pvalue, abs=0.01)


def test_tag_permutation_is_exact_on_a_case_that_can_be_counted():
    # 3 of 6 values are dealt out; the observed split is the largest of the 20
    null = mean_difference_null(np.array([4.0, 5, 6]), np.array([1.0, 2, 3]), 40_000, rng())
    assert p_value(null, 3.0) == pytest.approx(1 / 20, abs=0.005)


def test_p_values_are_never_zero():
    assert p_value(np.zeros(99), 1.0) == 0.01
    assert p_value(np.full(99, 0.1 + 0.2), 0.3) == 1.0  # rounding is no difference


def test_hypergeometric_tail_against_a_loop():
    first, second = rng(4).random(40), rng(5).random(25)
    hits, p = hypergeometric_tail(first, second, 10)
    pool = sorted([(value, 1) for value in first] + [(value, 0) for value in second], reverse=True)
    assert hits == sum(tag for _, tag in pool[:10])
    drawn = np.array([rng(seed).permutation([1] * 40 + [0] * 25)[:10].sum() for seed in range(4000)])
    assert p == pytest.approx(np.mean(drawn >= hits), abs=0.03)


def test_corrections_for_many_tests():
    values = rng(6).random(50) ** 3
    np.testing.assert_allclose(benjamini_hochberg(values), stats.false_discovery_control(values, method="bh"))
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # Holm's own example
    assert holm([]) == []


def test_exceedance_p_against_simulation():
    n_train, n_holdout, allowed, found = 40, 30, 2, 9
    hits = 0
    for seed in range(4000):
        scores = rng(seed).random(n_train + n_holdout)
        level = np.sort(scores[n_train:])[-allowed - 1]
        hits += np.count_nonzero(scores[:n_train] > level) >= found
    assert exceedance_p(found, n_train, allowed, n_holdout) == pytest.approx(hits / 4000, abs=0.02)


def test_residual_risk_of_a_known_leak():
    holdout = rng(9).normal(0, 1, 20_000)
    train = np.r_[rng(10).normal(0, 1, 19_000), rng(11).normal(6, 1, 1000)]  # 5 % leaked
    risk = residual_risk(train, holdout, at=0.01, confidence=0.95, bootstraps=400, rng=rng())
    assert risk.holdout == pytest.approx(0.01)
    assert risk.value == pytest.approx(0.05, abs=0.004)
    assert risk.interval[0] < risk.value < risk.interval[1]


def test_residual_risk_interval_covers_zero_without_a_leak():
    covered = 0
    for seed in range(100):
        train, holdout = rng(seed).random(400), rng(seed + 1000).random(300)
        low, high = residual_risk(train, holdout, at=0.02, confidence=0.95, bootstraps=200, rng=rng(seed)).interval
        covered += low <= 0 <= high
    assert covered >= 80  # nominal 90


def test_d_sys_of_two_normal_distributions():
    linked, unlinked = rng(12).normal(0.106, 0.111, 100_000), rng(13).normal(0.003, 0.070, 400_000)
    mated, non_mated = stats.norm(0.106, 0.111), stats.norm(0.003, 0.070)

    def integrand(s):
        ratio = mated.pdf(s) / max(non_mated.pdf(s), 1e-300)
        return mated.pdf(s) * max(0.0, (ratio - 1) / (ratio + 1))

    exact = integrate.quad(integrand, -0.5, 0.8, limit=200)[0]
    bins = ScoreBins(unlinked, len(linked))
    estimate = bins.d_sys(bins.count(linked))
    assert exact - 0.03 < estimate <= exact + 0.005  # bins can only lose
    assert bins.d_sys(bins.count(unlinked)) == pytest.approx(0, abs=0.005)


def linkage_of(similarity, labels, seed=0, permutations=999):
    return measure_linkage(
        similarity.astype(np.float32),
        labels,
        fmr=1e-3,
        top_pairs=50,
        permutations=permutations,
        bootstraps=200,
        rng=rng(seed),
    )


def scores_like_sface(n_classes, n_people, seed, *, linked=True):
    similarity = rng(seed).normal(0.003, 0.070, (n_classes, n_people))
    labels = rng(seed + 1).permutation(n_people)[:n_classes]
    if linked:
        similarity[np.arange(n_classes), labels] = rng(seed + 2).normal(0.106, 0.111, n_classes)
    return similarity, labels


def test_linkage_of_published_scores():
    similarity, labels = scores_like_sface(400, 400, 20)
    result = linkage_of(similarity, labels)
    assert result.area.mean() == pytest.approx(0.785, abs=0.04)  # published .780
    assert 0.06 < result.tmr < 0.25  # published .112 at FMR 1e-3; d' of these normal curves gives .15
    assert result.d_sys == pytest.approx(0.36, abs=0.08)  # published .379
    assert result.p_mean == result.p_hits == result.p_tail == 0.001


def test_linkage_against_naive_loops():
    similarity, labels = scores_like_sface(30, 50, 30)
    similarity = similarity.astype(np.float32).astype(np.float64)
    result = linkage_of(similarity, labels, permutations=99)
    off = [similarity[k, j] for k in range(30) for j in range(50) if j != labels[k]]
    for k, label in enumerate(labels):
        own = similarity[k, label]
        assert result.ranks[k] == 1 + sum(similarity[k, j] >= own for j in range(50) if j != label)
        assert result.area[k] == pytest.approx(np.mean([other < own for other in off]))
    flat = sorted(((similarity[k, j], k, j) for k in range(30) for j in range(50)), reverse=True)[:50]
    owners = {k for _, k, _ in flat}
    assert result.tail_classes == len(owners)
    assert result.tail_hits == len({k for _, k, j in flat if labels[k] == j})
    drawn = [rng(seed).permutation(labels) for seed in range(4000)]
    hits = [len({k for _, k, j in flat if other[k] == j}) for other in drawn]
    assert len(flat) > len(owners)
    assert result.tail_by_chance == pytest.approx(np.mean(hits), abs=4 * np.std(hits) / np.sqrt(len(hits)))


def test_linkage_p_values_without_linkage_are_uniform():
    p_values = []
    for seed in range(150):
        similarity, labels = scores_like_sface(25, 40, 3 * seed, linked=False)
        p_values.append(linkage_of(similarity, labels, seed, permutations=99).p_mean)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_labels_may_be_shared_by_classes():
    similarity, _ = scores_like_sface(20, 10, 50, linked=False)
    labels = np.arange(20) % 10
    similarity[np.arange(20), labels] += 0.5
    result = linkage_of(similarity, labels)
    assert (result.ranks == 1).all()
    assert result.p_mean == 0.001


def test_chance_maxima_are_exact_inside_their_range_and_cautious_beyond():
    maxima = ChanceMaxima.fit(rng(14).normal(0, 1, (500, 300)).max(axis=1))
    inside = maxima.maxima[::50]
    rank = np.array([(1 + np.count_nonzero(maxima.maxima >= value)) / 501 for value in inside])
    np.testing.assert_allclose(maxima.p_values(inside), rank)
    beyond = np.array([5.0, 5.5, 6.0])
    exact = 1 - stats.norm.cdf(beyond) ** 300
    assert (maxima.p_values(beyond) >= exact).all()
    assert (np.diff(maxima.p_values(np.linspace(0, 9, 200))) <= 0).all()


@pytest.mark.parametrize("shape", [0.0, 0.2])
def test_tail_is_that_of_scipy_and_finds_the_parameters(shape):
    drawn = stats.genextreme.rvs(shape, loc=0.3, scale=0.05, size=50_000, random_state=3)
    fit = ChanceMaxima.fit(drawn)
    assert fit.shape == pytest.approx(shape, abs=0.02)
    assert fit.scale == pytest.approx(0.05, rel=0.03)
    at = np.array([0.3, 0.4, 0.45])
    theirs = stats.genextreme.sf(at, fit.shape, loc=fit.location, scale=fit.scale)
    np.testing.assert_allclose(fit.tail(at), theirs, rtol=1e-6)


def test_a_few_real_matches_do_not_blunt_the_tail_but_stay_in_the_rank():
    clean = rng(15).gumbel(0.3, 0.03, 1000)
    fit = ChanceMaxima.fit(np.r_[clean, 0.9, 0.95])
    assert fit.tail(np.array([0.6])) < 3 * ChanceMaxima.fit(clean).tail(np.array([0.6]))
    assert fit.p_values(np.array([0.8]))[0] == pytest.approx(3 / 1003)


def test_alarm_names_the_planted_class_and_person():
    train, holdout, classes = (unit(rng(k).standard_normal((n, 64))) for k, n in enumerate((300, 120, 80)))
    classes[5] = unit(train[[33]] + 0.03 * rng(9).standard_normal((1, 64)))
    alarm = raise_alarm(classes, train, holdout, rng())
    assert alarm.n_tests == 80 * 3  # training people in three parts of the hold-out's size
    assert np.flatnonzero(alarm.adjusted <= 0.05).tolist() == [5]
    assert alarm.person[5] == 33
    assert AuditConfig().flag_rate == 0.05


@pytest.mark.parametrize("n_released", [1, 30])
def test_rows_beside_the_release_do_not_move_its_alarm(n_released):
    train, holdout, classes = (unit(rng(k).standard_normal((n, 32))) for k, n in enumerate((90, 40, n_released)))
    alone = raise_alarm(classes, train, holdout, rng(3))
    beside = raise_alarm(np.concatenate([classes, train, holdout]), train, holdout, rng(3), released=n_released)
    np.testing.assert_allclose(beside.chance.maxima, alone.chance.maxima, atol=1e-6)
    np.testing.assert_allclose(beside.p_values[:n_released], alone.p_values, rtol=1e-4)
    assert (beside.n_tests, beside.p_global) == (alone.n_tests, pytest.approx(alone.p_global, rel=1e-4))
    if n_released == 30:
        # A photo of a training person is named whatever else is there; one of a person held out is nobody's.
        assert (beside.p_values[30:120] <= 0.05 / beside.n_tests).all()
        assert (beside.p_values[120:] > 0.05 / beside.n_tests).all()


def test_alarm_is_the_same_in_small_blocks(monkeypatch):
    train, holdout, classes = (unit(rng(k).standard_normal((n, 32))) for k, n in enumerate((90, 40, 30)))
    whole = raise_alarm(classes, train, holdout, rng(3))
    monkeypatch.setattr(flags, "_ROWS", 7)
    monkeypatch.setattr(flags, "_COLUMNS", 11)
    blocks = raise_alarm(classes, train, holdout, rng(3))
    np.testing.assert_array_equal(blocks.person, whole.person)
    np.testing.assert_allclose(blocks.chance.maxima, whole.chance.maxima, atol=1e-6)
    np.testing.assert_allclose(blocks.p_values, whole.p_values, rtol=1e-4)
    np.testing.assert_allclose(blocks.p_global, whole.p_global, rtol=1e-4)


def test_alarm_s_memory_does_not_grow_with_the_photos():
    classes = unit(rng(0).standard_normal((flags._ROWS, 8)))
    photos = unit(rng(1).standard_normal((5 * flags._COLUMNS, 8)))
    tracemalloc.start()
    raise_alarm(classes, photos, photos[::-1], rng(2))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 12 * flags._ROWS * flags._COLUMNS  # a block as float32 and as float64 takes 12 bytes a score


def test_nearest_other_person_against_a_loop(monkeypatch):
    vectors = unit(rng(5).standard_normal((40, 8)))
    gallery = Gallery(vectors, np.arange(40), np.arange(10).astype(np.str_), np.arange(0, 40, 4))
    rows = np.array([0, 3, 17, 22, 39])
    naive = [max(float(vectors[r] @ vectors[k]) for k in range(40) if k // 4 != r // 4) for r in rows]
    monkeypatch.setattr(data_copying_checks, "_ROWS", 2)
    monkeypatch.setattr(data_copying_checks, "_COLUMNS", 3)
    np.testing.assert_allclose(data_copying_checks._nearest_other(gallery, rows), naive, atol=1e-6)


def test_statistics_of_the_same_people_meet_the_same_deals():
    first, second = rng(40).random((2, 30)), rng(41).random((2, 20))
    first[1], second[1] = 3 * first[0] + 1, 3 * second[0] + 1
    null = mean_difference_null(first, second, 500, rng(42))
    assert null.shape == (2, 500)
    np.testing.assert_allclose(null[1], 3 * null[0], atol=1e-12)
    np.testing.assert_allclose(null[0], mean_difference_null(first[0], second[0], 500, rng(42)))


def test_tag_permutation_enumerates_all_deals_of_a_small_case():
    values = np.array([0.3, 1.1, 2.0, 2.2, 3.7])
    null = mean_difference_null(values[:2], values[2:], 20_000, rng(43))
    exact = {
        round(values[list(chosen)].mean() - np.delete(values, chosen).mean(), 9)
        for chosen in itertools.combinations(range(5), 2)
    }
    seen, counts = np.unique(null.round(9), return_counts=True)
    assert set(seen) == exact
    assert counts.min() > 0.8 * 20_000 / len(exact)


def test_holm_against_its_definition():
    values = rng(44).random(12) ** 2
    for limit in (0.01, 0.05, 0.3):
        rejected = set()
        for step, index in enumerate(np.argsort(values)):
            if values[index] > limit / (12 - step):
                break
            rejected.add(int(index))
        assert {k for k, p in enumerate(holm(values)) if p <= limit} == rejected
