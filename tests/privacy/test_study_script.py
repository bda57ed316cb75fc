"""The simulation study: its worlds have the published scores, and its sums are right."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "study_audit.py"


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("study_audit", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["study_audit"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_leak_is_the_one_that_was_published(study):
    world = study.World("leak", 0, leaking=1.0, strength=study.SFACE_RESEMBLANCE)
    rng = np.random.default_rng(0)
    sets, labels = study.simulate(world, rng)
    images, photos = sets["synthetic"]["one"], sets["train"]["one"]
    scores = images.vectors @ photos.vectors.T
    same = np.array([labels[name] for name in images.identities])[:, None] == photos.identities
    assert scores[~same].mean() == pytest.approx(0.003, abs=0.01)
    assert scores[~same].std() == pytest.approx(0.070, abs=0.005)
    assert scores[same].mean() == pytest.approx(0.106, abs=0.02)
    assert scores[same].std() == pytest.approx(0.111, abs=0.02)
    assert study.label_auc(sets, labels, rng) == pytest.approx(0.78, abs=0.04)


def test_a_null_release_has_nothing_of_its_people(study):
    sets, labels = study.simulate(study.World("null", 1), np.random.default_rng(1))
    assert abs(study.label_auc(sets, labels, np.random.default_rng(2)) - 0.5) < 0.03


def test_the_duplicate_is_one_person_under_two_names(study):
    sets, _ = study.simulate(study.World("duplicate", 1), np.random.default_rng(1))
    train, holdout = sets["train"]["one"], sets["holdout"]["one"]
    mine, theirs = (item.vectors[item.identities == item.identities[0]] for item in (train, holdout))
    assert (mine @ theirs.T).mean() > 0.4


def test_demands_are_checked_against_counts(study):
    def result(experiment, verdict, overlap=0):
        p_values = {"A2 mean_excess one": 0.5, "A3 flagged one": 0.5}
        world = {"experiment": experiment}
        return {"world": world, "verdict": verdict, "overlap": overlap, "p_values": p_values, "image_auc": None}

    results = [result(name, "INCONCLUSIVE") for name in ("hubs", "unequal")]
    results += [result("null", "FAIL")] * 10 + [result("null", "INCONCLUSIVE")] * 290
    results += [result("duplicate", "INCONCLUSIVE", 1), result("leak", "FAIL")]
    summary = study.summarise(results, [], complete=True)
    assert summary["experiments"]["null"]["fail"] == 10
    assert not summary["demands"]["null: FAIL in at most 3 %"]
    assert not summary["demands"]["null: p-values uniform (Kolmogorov-Smirnov, Bonferroni)"]  # all of them are .5
    assert summary["demands"]["leak: FAIL in at least 99 %"]
    assert summary["demands"]["duplicate: found in at least 99 %"]


def test_bisection_finds_the_weakest_strength_that_is_found(study):
    class Known:
        """Finds everything from .3 up."""

        def run(self, worlds, description):
            """Nothing to run."""

        def result(self, world):
            return {"verdict": "FAIL" if world.strength >= 0.3 else "INCONCLUSIVE"}

    point = study.weakest_found(Known(), 100, 0.5, study.Sizes(repeats=5))
    assert point["weakest"] == 0.3


def test_an_audit_done_is_not_done_again(study, tmp_path):
    from synthface.core.journal import Journal

    world = study.World("null", 0)
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append({"key": world.key, "verdict": "kept"})
        known = study.Study(journal, None)
        known.run([world], "nothing")  # without a pool, anything to do would fail
    assert known.result(world)["verdict"] == "kept"
