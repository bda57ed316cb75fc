"""A8: after a clean-up only a recogniser that had no part in it can tell, and not for ever with one hold-out."""

import dataclasses

import numpy as np
import pytest

from synthface.privacy import AuditConfig, audit, power
from synthface.privacy.gallery import Gallery
from synthface.privacy.inputs import read_inputs
from synthface.privacy.measure import measure
from synthface.privacy.power import choose_plants, people_of_round
from synthface.privacy.remediation import Remediation
from synthface.privacy.sealed import sealed_gate, sealed_recognizers
from synthface.privacy.search import search

CONFIG = AuditConfig(permutations=199, bootstraps=50, min_holdout=50)


@pytest.fixture(scope="module")
def pool(make_pool):
    return make_pool(21, n_train=100, n_holdout=100, n_placebo=40)


@pytest.fixture(scope="module")
def release(pool):
    return pool.release(pool.world.people(100), per_class=2)


def run(pool, release, remediation, **more):
    roles = {"train": pool.train, "holdout": pool.holdout, "placebo": pool.placebo}
    return audit(synthetic=release, config=CONFIG, remediation=remediation, **roles, **more)


@pytest.fixture(scope="module")
def verdict(pool, release, with_images):
    return run(pool, release, cleaned("two"), **with_images(pool, release))


def cleaned(*used, rounds=1):
    return Remediation(rounds=rounds, used_recognizers=used, log_sha256="0" * 64)


def gate_after(verdict, remediation, gates=None):
    sealed = sealed_recognizers(remediation, verdict.recognizers)
    return sealed_gate(remediation, sealed, gates or verdict.gates, CONFIG)


def test_without_a_clean_up_there_is_nothing_to_seal(verdict):
    gate = gate_after(verdict, None)
    assert (gate.applicable, gate.passed) == (False, True)


def test_a_sealed_recogniser_repeats_the_leak_gates(verdict):
    gate = verdict.gates["A8"]
    assert verdict.sealed == ("one",)
    assert {check.recognizer for check in gate.checks} <= {"", "one"}
    assert {check.key for check in gate.checks} >= {
        "copies", "mean_excess", "flagged", "rank1_hits", "tpr", "recall_alone", "rounds"
    }  # fmt: skip
    assert verdict.to_json()["remediation"]["used_recognizers"] == ["two"]
    open_checks = [check for check in gate.checks if check.passed is None]
    assert gate.passed is (None if open_checks else True)


def test_it_passes_when_all_that_it_repeats_passes(verdict):
    def passing(gate):
        return dataclasses.replace(gate, checks=tuple(dataclasses.replace(c, passed=True) for c in gate.checks))

    gates = {name: passing(gate) for name, gate in verdict.gates.items()}
    recall = next(check for check in gates["V4"].checks if check.key == "recall_alone")
    gates["V4"] = dataclasses.replace(gates["V4"], checks=(dataclasses.replace(recall, interval=(0.95, 1.0)),))
    assert gate_after(verdict, cleaned("two"), gates).passed is True
    weak = dataclasses.replace(recall, recognizer="one", interval=(0.5, 1.0))  # finds too few plants by itself
    gates["V4"] = dataclasses.replace(gates["V4"], checks=(weak,))
    assert gate_after(verdict, cleaned("two"), gates).passed is None


def test_recognisers_that_all_took_part_cannot_tell(verdict):
    gate = gate_after(verdict, cleaned("one", "two"))
    assert gate.passed is None
    assert "not used for the clean-up (one, two was)" in gate.needs[0]


def test_a_hold_out_wears_out(verdict):
    gate = gate_after(verdict, cleaned("two", rounds=4))
    assert gate.passed is not True
    assert any("a new hold-out: this one was used 4 times" in check.need for check in gate.checks)


def test_every_round_plants_other_people_while_there_are_any():
    first, second, third, fourth = (set(people_of_round(130, 50, k, seed=0).tolist()) for k in (1, 2, 3, 4))
    assert [len(people) for people in (first, second, third, fourth)] == [50] * 4
    assert not first & second
    assert len(third - first - second) == 30
    assert len(first | second | third) == 130
    assert len(fourth & third) == 0
    assert set(people_of_round(130, 50, 1, seed=1).tolist()) != first
    assert sorted(people_of_round(20, 50, 2, seed=0).tolist()) == list(range(20))


def test_planted_people_have_photos_enough(monkeypatch):
    counts = np.array([3, 4, 9, 20, 2, 5, 4, 6])
    starts = np.cumsum(counts) - counts
    gallery = Gallery(np.zeros((counts.sum(), 2), np.float32), np.arange(counts.sum()), counts.astype(np.str_), starts)
    monkeypatch.setattr(power, "_MAX_PLANTS", 3)
    first, second = (set(choose_plants(gallery, CONFIG, rounds).tolist()) for rounds in (1, 2))
    assert first | second == {1, 2, 3, 5, 6, 7}
    assert not first & second


def test_every_round_plants_other_photos(pool, release):
    roles = {"synthetic": release, "train": pool.train, "holdout": pool.holdout}
    inputs = read_inputs(roles, None)
    blurred = AuditConfig(permutations=99, bootstraps=50, min_holdout=50, flag_rate=1e-2)  # so that some are missed
    one, two, again = (measure(inputs, "one", blurred, search, rounds=r).plants_found for r in (1, 2, 1))
    np.testing.assert_array_equal(one, again)
    assert not (one == two).all()


def test_a_leak_that_the_sealed_recogniser_sees_fails(pool):
    verdict = run(pool, pool.release(pool.train_faces), cleaned("two"))
    assert verdict.gates["A8"].passed is False
    assert verdict.verdict == "FAIL"
    assert "kept apart from the clean-up" in verdict.claim
