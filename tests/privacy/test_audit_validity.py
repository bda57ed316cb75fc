"""The audit's own error rates on simulated truth: null releases do not fail, leaks of published strength do."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from synthface.privacy import AuditConfig, audit
from synthface.privacy.flags import raise_alarm
from synthface.privacy.gallery import unit
from synthface.privacy.image_alarm import name_people
from synthface.privacy.linkage import measure_linkage
from synthface.privacy.linkage_checks import linkage_checks
from synthface.privacy.settle import LEAKS, settle_leaks

SMALL = {"permutations": 199, "bootstraps": 30, "min_holdout": 20}
UNIFORM = ("V3 placebo_excess", "A2 mean_excess", "A4 auc", "A5 auc", "A5 p_calibrated", "A5 p_count", "A6 c_t_p")


def null_audit(make_pool, seed):
    pool = make_pool(1000 + seed, n_train=40, n_holdout=40, n_placebo=20, dimensions=24)
    faces = pool.world.people(25)
    if seed % 2:  # average faces, near to everybody: what fixed thresholds take for a leak
        faces = 0.4 * faces + 0.6 * pool.world.people(1)
    one = {role: getattr(pool, role)["one"] for role in ("train", "holdout", "placebo")}
    return audit(synthetic=pool.release(faces, per_class=3)["one"], **one, config=AuditConfig(seed=seed, **SMALL))


@pytest.fixture(scope="module")
def null_audits(make_pool):
    return [null_audit(make_pool, seed) for seed in range(100)]


def test_null_releases_do_not_fail(null_audits):
    assert sum(verdict.verdict == "FAIL" for verdict in null_audits) <= 3


def test_the_alarms_for_classes_and_images_err_upward(null_audits):
    checks = [check for verdict in null_audits for check in verdict.gates["A3"].checks if check.p_value is not None]
    for key in ("flagged", "flagged_images"):
        p_values = np.array([check.p_value for check in checks if check.key == key])
        assert len(p_values) > 80
        assert np.mean(p_values <= 0.01) <= 0.03
        assert np.mean(p_values <= 0.05) <= 0.08


@pytest.mark.parametrize("name", UNIFORM)
def test_p_values_of_null_releases_are_uniform(null_audits, name):
    gate, key = name.split()
    checks = [check for verdict in null_audits for check in verdict.gates[gate].checks if check.key == key]
    p_values = [check.value if check.p_value is None else check.p_value for check in checks]
    assert len(p_values) == 100
    assert stats.kstest(p_values, "uniform").pvalue > 0.005


def test_linkage_of_published_strength_is_found_in_99_of_100():
    # SFace's plotted scores: same label .106 +- .111, other labels .003 +- .070, AUC .78
    config = AuditConfig(permutations=999, bootstraps=100)
    shown = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        similarity = rng.normal(0.003, 0.070, (60, 90)).astype(np.float32)
        similarity[np.arange(60), np.arange(60)] = rng.normal(0.106, 0.111, 60)
        linkage = measure_linkage(
            similarity,
            np.arange(60),
            fmr=config.fmr,
            top_pairs=config.top_pairs,
            permutations=config.permutations,
            bootstraps=config.bootstraps,
            rng=rng,
        )
        checks = linkage_checks(linkage, 90, config, rng, "one")
        shown += min(check.p_value for check in checks if check.p_value is not None) == 0.001
    assert shown >= 99


@pytest.mark.parametrize("n_classes", [1, 2, 3, 9])
def test_the_alarms_name_nobody_in_null_releases_of_few_classes(n_classes):
    """One or two chance maxima have no spread; a tail fitted to them made whatever lay beyond a leak."""
    classes_p, images_p = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        classes, train, holdout = (unit(rng.standard_normal((n, 32))) for n in (n_classes, 80, 80))
        images = unit(np.repeat(classes, 20, axis=0) + 0.1 * rng.standard_normal((20 * n_classes, 32)))
        alarm = raise_alarm(classes, train, holdout, rng)
        named = name_people(images, train, holdout, 0.05, rng, n_classes)
        assert not (alarm.adjusted <= 0.05).any()
        assert (named.person < 0).all()
        classes_p.append(alarm.p_global)
        images_p.append(named.p_global)
    for p_values in (classes_p, images_p):
        for level in (0.01, 0.1, 0.5):  # 100 audits: 2.5 standard deviations of the share are at most .125
            assert np.mean(np.array(p_values) <= level) <= level + 2.5 * np.sqrt(level * (1 - level) / 100)


@pytest.mark.parametrize(("n_classes", "outcome"), [(3, None), (25, True)])
def test_few_classes_leave_the_alarms_undecided(make_pool, n_classes, outcome):
    pool = make_pool(5, n_train=40, n_holdout=40, n_placebo=20)
    one = {role: getattr(pool, role)["one"] for role in ("train", "holdout", "placebo")}
    release = pool.release(pool.world.people(n_classes), per_class=4)["one"]
    gate = audit(synthetic=release, **one, config=AuditConfig(**SMALL)).gates["A3"]
    decided = [check.passed for check in gate.checks if check.key in ("flagged", "flagged_images")]
    assert decided == [outcome] * 2
    assert gate.passed is outcome
    few = "at least 10 classes, to tell a training person from a chance look-alike"
    assert gate.needs == (() if outcome else (few,))


@pytest.mark.parametrize(("p", "outcome"), [(0.008, None), (0.0001, False)])
def test_a_large_d_sys_shows_no_leak_beside_the_corrected_p_of_the_auc(p, outcome):
    similarity = np.random.default_rng(3).normal(0, 0.1, (40, 40)).astype(np.float32)
    similarity[np.arange(40), np.arange(40)] += 0.3
    config = AuditConfig(permutations=9999)
    linkage = measure_linkage(
        similarity, np.arange(40), fmr=1e-3, top_pairs=50, permutations=99, bootstraps=99, rng=np.random.default_rng(4)
    )
    linkage = dataclasses.replace(linkage, p_mean=p)
    checks = {name: [] for name in (*LEAKS, "V3")}
    checks["A4"] = linkage_checks(linkage, 40, config, np.random.default_rng(5), "one")
    settled = {check.key: check for check in settle_leaks(checks, config)["A4"]}
    assert settled["d_sys"].interval[0] > config.max_unlinkability
    assert settled["d_sys"].passed is None
    assert settled["auc"].passed is outcome


def test_one_training_person_near_to_all_classes_is_flagged_but_is_one_coincidence():
    rng = np.random.default_rng(4)
    middle = rng.standard_normal((1, 64))
    train, holdout = unit(rng.standard_normal((100, 64))), unit(rng.standard_normal((100, 64)))
    classes = unit(middle + 0.5 * rng.standard_normal((80, 64)))
    train[7] = unit(middle + 1.2 * rng.standard_normal((1, 64)))
    alarm = raise_alarm(classes, train, holdout, rng)
    assert (alarm.adjusted <= 0.05).mean() > 0.5
    assert (alarm.person[alarm.adjusted <= 0.05] == 7).all()
    assert alarm.p_global > 0.01
    classes[5] = unit(train[[33]] + 0.03 * rng.standard_normal((1, 64)))  # one that is near to its class alone
    assert raise_alarm(classes, train, holdout, rng).p_global < 1e-4
