"""The figures of one set, and of two side by side."""

import numpy as np
import pytest

from synthface.core.errors import DataError
from synthface.metrics.merged_classes import merge_classes
from synthface.metrics.sampled_pairs import sampled_pairs
from synthface.metrics.set_comparison import compare_sets
from synthface.metrics.set_measures import (
    Resampling,
    class_structure,
    image_distribution,
    mean_over_classes,
    measure,
    separability,
)
from synthface.metrics.verification import fisher_ratio, tmr_at_fmr
from synthface.metrics.weighted_verification import WeightedPairs

QUICK = Resampling(replicates=100, seed=0)


def _people(n: int, images: int, spread: float, seed: int = 0, dimensions: int = 32) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    faces = np.repeat(rng.normal(size=(n, dimensions)), images, axis=0)
    vectors = faces + spread * rng.normal(size=faces.shape)
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit, np.repeat(np.arange(n), images)


def test_separability_is_that_of_the_scores() -> None:
    pairs = sampled_pairs(*_people(40, 4, 1.0))
    figures = separability(pairs, QUICK)
    assert figures["fmr100"]["value"] == pytest.approx(1 - tmr_at_fmr(pairs.mated, pairs.non_mated, 1e-2))
    assert figures["fisher_ratio"]["value"] == pytest.approx(fisher_ratio(pairs.mated, pairs.non_mated))
    for name in ("eer", "auc", "fisher_ratio", "fmr100", "fmr1000"):
        low, high = figures[name]["interval"]
        assert low < high
        assert low <= figures[name]["value"] <= high


def test_a_pair_of_weight_k_counts_as_k_pairs_in_the_fisher_ratio() -> None:
    rng = np.random.default_rng(0)
    scores, same = rng.normal(size=30), np.arange(30) < 10
    weights = rng.integers(0, 4, size=(3, 30)).astype(float)
    found = WeightedPairs(scores, same).fisher_ratio(weights)
    for row, value in zip(weights.astype(int), found, strict=True):
        repeated, sides = np.repeat(scores, row), np.repeat(same, row)
        assert value == pytest.approx(fisher_ratio(repeated[sides], repeated[~sides]))


def test_sampled_pairs_know_whose_they_are() -> None:
    vectors, labels = _people(9, 3, 1.0)
    pairs = sampled_pairs(vectors, labels)
    assert len(pairs.scores) == 27 * 26 // 2
    assert np.array_equal(pairs.same, pairs.identities_a == pairs.identities_b)
    means = np.array([vectors[labels == k].mean(axis=0) for k in range(9)], dtype=np.float64)
    chosen = (pairs.identities_a == "2") & (pairs.identities_b == "5")
    chosen |= (pairs.identities_a == "5") & (pairs.identities_b == "2")
    assert pairs.scores[chosen].mean() == pytest.approx(means[2] @ means[5], abs=1e-6)
    with pytest.raises(DataError, match="mated"):
        sampled_pairs(vectors, np.arange(27))


def test_the_error_of_the_share_of_matching_pairs_is_the_jackknifes() -> None:
    means = np.random.default_rng(1).normal(size=(30, 4))
    merged = merge_classes(means, 1.0)
    without = np.array([merge_classes(np.delete(means, k, axis=0), 1.0).share for k in range(30)])
    assert merged.standard_error == pytest.approx(np.sqrt(29 / 30 * np.square(without - without.mean()).sum()))
    assert merged.standard_error > 0


def test_one_person_under_many_labels_is_found() -> None:
    vectors, labels = _people(30, 6, 0.3)
    vectors[labels < 10] = vectors[0]
    figures = class_structure(
        vectors, labels, sampled_pairs(vectors, labels).mated, r=0.8, threshold=0.7, resampling=QUICK
    )
    assert figures["identities"]["value"] == 21
    assert figures["unique_identities"]["value"] == 21
    assert figures["uniqueness"]["value"] == pytest.approx(0.7)
    assert figures["merged_pairs"]["value"] == pytest.approx(45 / 435)
    assert figures["consistency"]["value"] == 1.0
    unknown = class_structure(vectors, labels, np.ones(3), r=0.8, threshold=None, resampling=QUICK)
    assert "identities" not in unknown


def test_classes_count_alike_whatever_their_size() -> None:
    values, labels = np.array([1.0] * 98 + [0.0, 0.0]), np.array([0] * 98 + [1, 1])
    assert mean_over_classes(values, labels, QUICK)["value"] == 0.5
    assert image_distribution(values, labels, QUICK)["mean"]["value"] == pytest.approx(0.98)


def test_what_is_not_finite_becomes_null() -> None:
    assert measure(float("inf"), [0, float("nan")]) == {"value": None, "interval": None}


def test_real_people_are_nearer_to_real_people_than_others() -> None:
    real, names = _people(60, 4, 0.7, seed=1)
    other, labels = _people(60, 4, 0.7, seed=2)
    other[:, 0] += 0.5
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    figures = compare_sets(other, labels, real, names)
    assert figures["n_images"] == 120
    for name in ("frechet", "kernel_distance"):
        assert figures["measured"][name]["value"] > figures["control"][name]["value"]
    assert figures == compare_sets(other, labels, real, names)
    with pytest.raises(DataError, match="6"):
        compare_sets(other, labels, real[:20], names[:20])
