"""Scores against naive loops over pairs."""

import tracemalloc

import numpy as np
import pytest

from inversion.scoring.cross_identity import FMRS, cross_identity_thresholds
from inversion.scoring.replaced_pairs import plan_pairs
from inversion.scoring.scores import Bench, Gallery, score_images
from inversion.scoring.separation import measure_separation
from inversion.scoring.tallies import Tally, summarise
from synthface.metrics.verification import threshold_at_fmr


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def gallery() -> Gallery:
    """Forty people with three pictures each."""
    generator = np.random.default_rng(0)
    people = generator.normal(size=(40, 16)).repeat(3, axis=0)
    vectors = unit(people + generator.normal(size=(120, 16)) * 0.5)
    identities = np.array([f"P{k // 3:02d}" for k in range(120)])
    return Gallery(vectors, identities)


@pytest.fixture
def bench(gallery: Gallery) -> Bench:
    """The targets are the first pictures of the first ten people."""
    sources = np.arange(0, 30, 3)
    return Bench(gallery.vectors[sources], gallery.identities[sources], gallery, sources)


@pytest.fixture
def images(bench: Bench) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=(10, 16)) * 0.12
    return unit(bench.targets + noise)


def non_mated(gallery: Gallery) -> np.ndarray:
    vectors, people = gallery.vectors, gallery.identities
    return np.array([vectors[i] @ vectors[j] for i in range(len(people)) for j in range(i) if people[i] != people[j]])


def test_thresholds_keep_their_rates_over_all_cross_identity_pairs(gallery: Gallery) -> None:
    scores = non_mated(gallery)
    found = cross_identity_thresholds(gallery.vectors, gallery.identities)
    for name, fmr in FMRS.items():
        if fmr * len(scores) < 1:
            assert found[name] is None
            continue
        threshold = found[name]
        assert threshold.n_non_mated == len(scores) == 120 * 119 // 2 - 40 * 3
        assert threshold.value == pytest.approx(threshold_at_fmr(scores, fmr), abs=1e-6)
    assert found["1e-4"] is None  # 7,020 pairs cannot show one in ten thousand
    assert found["1e-3"] is not None


def test_thresholds_of_many_blocks_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    vectors = unit(generator.normal(size=(700, 8)))
    people = generator.integers(0, 300, 700).astype(str)
    together = cross_identity_thresholds(vectors, people)
    monkeypatch.setattr("inversion.scoring.cross_identity._BLOCK", 37)
    apart = cross_identity_thresholds(vectors, people)
    for name in FMRS:
        assert apart[name].value == pytest.approx(together[name].value, abs=1e-6)
        assert apart[name].n_non_mated == together[name].n_non_mated


def test_thresholds_take_the_memory_that_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inversion.scoring.cross_identity._BLOCK", 4)  # what one block takes counts for little
    n = 1500
    vectors = unit(np.random.default_rng(0).normal(size=(n, 8)))
    people = np.arange(n).astype(str)
    accepted = n * (n - 1) // 2 // 10
    tracemalloc.start()
    cross_identity_thresholds(vectors, people, {"some": 0.1})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 26 * accepted


def test_a_threshold_rejects_the_score_that_it_lies_above() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(60, 4)))
    threshold = cross_identity_thresholds(vectors, np.arange(60).astype(str), {"some": 0.01})["some"]
    scores = (vectors @ vectors.T)[np.triu_indices(60, 1)]  # single precision, as images are compared
    assert (scores >= np.float32(threshold.value)).sum() == int(0.01 * len(scores))


def test_scores_are_those_of_loops(bench: Bench, gallery: Gallery, images: np.ndarray) -> None:
    scores = score_images(images, bench)
    threshold = gallery.thresholds["1e-3"].value
    first, second, strangers, others = [], [], [], []
    for k, source in enumerate(bench.sources):
        for j in range(120):
            score = float(np.dot(images[k], gallery.vectors[j]))
            if j == source:
                first.append(score)
            elif gallery.identities[j] == gallery.identities[source]:
                second.append(score >= threshold)
                others.append(score)
            else:
                strangers.append(score >= threshold)
    assert scores["cosine_mean"] == pytest.approx(np.mean(first), abs=1e-6)
    assert scores["cosine_quantiles"]["0.5"] == pytest.approx(np.median(first), abs=1e-6)
    assert scores["cosine_other_photos"] == pytest.approx(np.mean(others), abs=1e-6)
    assert scores["sar_type1_at_fmr_1e-3"] == pytest.approx(np.mean(np.array(first) >= threshold))
    assert scores["sar_type2_at_fmr_1e-3"] == pytest.approx(np.mean(second))
    assert scores["strangers_at_fmr_1e-3"] == pytest.approx(np.mean(strangers))
    assert scores["counts"]["sar_type2_at_fmr_1e-3"] == 20
    assert 0 < scores["sar_type2_at_fmr_1e-3"] < 1
    low, high = scores["intervals"]["sar_type2_at_fmr_1e-3"]
    assert low < scores["sar_type2_at_fmr_1e-3"] < high
    low, high = scores["intervals"]["cosine_mean"]
    half = 1.96 * np.std(first) / np.sqrt(10)
    assert high - low == pytest.approx(2 * half, rel=0.4)
    assert scores["sar_type2_at_fmr_1e-4"] is None
    assert scores["counts"]["sar_type1_at_fmr_1e-4"] == 0


def test_ranks_leave_the_source_out(bench: Bench, gallery: Gallery) -> None:
    images = unit(bench.targets + np.random.default_rng(4).normal(size=(10, 16)) * 0.3)  # nearest to their own source
    scores = score_images(images, bench, real=True)
    ranks = []
    for source in bench.sources:
        enrolled = {}
        for j in range(120):
            if j != source:
                enrolled.setdefault(gallery.identities[j], j)
        own = enrolled.pop(gallery.identities[source])
        image = images[len(ranks)]
        against = [image @ gallery.vectors[j] for j in enrolled.values()]
        ranks.append(1 + np.sum(np.array(against) >= image @ gallery.vectors[own]))
    for k in (1, 5, 10):
        assert scores[f"rank{k}"] == pytest.approx(np.mean(np.array(ranks) <= k))
    assert scores["rank1"] < 1
    assert scores["counts"]["rank1"] == 10
    assert "cosine_mean" not in scores
    assert "sar_type1_at_fmr_1e-3" not in scores


def test_people_with_one_photo_have_neither_rank_nor_type_two(gallery: Gallery) -> None:
    alone = Gallery(gallery.vectors[::3], gallery.identities[::3])
    bench = Bench(alone.vectors[:10], alone.identities[:10], alone, np.arange(10))
    scores = score_images(bench.targets, bench)
    assert scores["rank1"] is None
    assert scores["sar_type2_at_fmr_1e-2"] is None
    assert scores["sar_type1_at_fmr_1e-2"] == 1
    low, high = scores["intervals"]["sar_type1_at_fmr_1e-2"]
    assert low == pytest.approx(1 - 0.2775, abs=1e-3)  # Wilson, 10 of 10
    assert high == 1


def test_without_a_gallery_only_cosines_are_known(bench: Bench, images: np.ndarray) -> None:
    scores = score_images(images, Bench(bench.targets, bench.owners))
    assert scores["cosine_mean"] == pytest.approx(float((images * bench.targets).sum(1).mean()), abs=1e-6)
    assert scores["sar_type1_at_fmr_1e-3"] is None
    assert scores["rank1"] is None


def test_shuffled_targets_never_are_ones_own() -> None:
    owners = np.array(["a", "b", "a", "c", "b", "a", "d"])
    bench = Bench(np.eye(7, 4, dtype=np.float32), owners)
    other = bench.without_own(owners)
    assert sorted(other) == list(range(7))
    assert (owners[other] != owners).all()
    alone = np.array(["a", "a"])
    assert (bench.without_own(alone) == -1).all()


def test_accuracy_is_that_of_a_loop_over_folds(gallery: Gallery) -> None:
    sources = np.array([3 * k + j for k in range(24) for j in (0, 1)])  # two photos of each of 24 people
    owners = gallery.identities[sources]
    plan = plan_pairs(owners, sources, gallery.identities, seed=1)
    for same, folds, people in (
        (plan.one_same, plan.one_folds, (owners[plan.image], gallery.identities[plan.photo])),
        (plan.both_same, plan.both_folds, (owners[plan.first], owners[plan.second])),
    ):
        assert same.mean() == 0.5
        assert ((people[0] == people[1]) == same).all()
        fold_of: dict[str, int] = {}
        for side in people:
            for person, fold in zip(side, folds, strict=True):
                if person in owners:
                    assert fold_of.setdefault(person, fold) == fold  # folds share nobody
    assert (sources[plan.image] != plan.photo).all()
    assert len(plan.both_same) == 48
    assert len(plan.one_same) == 2 * 48 * 2

    images = unit(gallery.vectors[sources] + np.random.default_rng(0).normal(size=(48, 16)) * 0.15)
    scores = score_images(images, Bench(gallery.vectors[sources], owners, gallery, sources, plan))
    values = (images[plan.first] * images[plan.second]).sum(1)
    right = 0
    for fold in np.unique(plan.both_folds):
        test = plan.both_folds == fold
        candidates = np.append(np.sort(values[~test]), 2.0)
        best = max(candidates, key=lambda t: ((values[~test] >= t) == plan.both_same[~test]).mean())
        right += ((values[test] >= best) == plan.both_same[test]).sum()
    assert scores["accuracy_both_sides"] == pytest.approx(right / 48, abs=0.07)  # of equally good thresholds any
    assert 0.6 < scores["accuracy_one_side"] < 1
    assert scores["counts"]["accuracy_one_side"] == len(plan.one_same)


def test_few_people_have_no_accuracy(gallery: Gallery) -> None:
    sources = np.array([0, 3, 6])
    plan = plan_pairs(gallery.identities[sources], sources, gallery.identities)
    bench = Bench(gallery.vectors[sources], gallery.identities[sources], gallery, sources, plan)
    assert score_images(bench.targets, bench)["accuracy_one_side"] is None


def test_tallies_weigh_people_by_their_comparisons() -> None:
    owners = np.array(["a", "a", "b"])
    tally = Tally(np.array([1.0, 0.0, 4.0]), np.array([2.0, 2.0, 4.0]))
    found = summarise({"share": tally, "none": Tally(np.zeros(3), np.zeros(3))}, owners)
    assert found["share"] == 5 / 8
    assert found["none"] is None
    assert found["intervals"]["share"] == pytest.approx([1 / 4, 1])  # only a, or only b
    assert found["intervals"]["none"] is None
    assert found["counts"] == {"share": 8, "none": 0}


def test_separation_counts_pairs_of_different_people() -> None:
    images = unit(np.random.default_rng(0).normal(size=(300, 6)))
    people = np.repeat(np.arange(100), 3).astype(str)
    real = unit(np.random.default_rng(1).normal(size=(50, 6)))
    found = measure_separation(images, people, real, 0.7)
    scores = [images[i] @ images[j] for i in range(300) for j in range(i) if people[i] != people[j]]
    assert found["n_pairs"] == len(scores)
    assert found["matching_pairs"] == np.sum(np.array(scores) >= 0.7) > 0
    assert found["highest_pair"] == pytest.approx(max(scores), abs=1e-6)
    assert found["images_matching_real"] == ((images @ real.T).max(1) >= 0.7).sum() > 0
