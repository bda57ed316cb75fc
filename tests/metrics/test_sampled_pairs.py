"""Pairs of a labelled set: all of them while they are few, an even sample when they are many."""

import numpy as np
import pytest

from synthface.metrics.all_pairs import all_pairs
from synthface.metrics.sampled_pairs import mated_and_non_mated, sampled_pairs


def _unit(n: int) -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(n, 5))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("n", [2, 3, 10, 13])
def test_a_small_set_gives_every_pair_once(n: int) -> None:
    labels = np.arange(n) % 3 if n > 3 else np.array([0, 1, 0])[:n]
    unit = _unit(n)
    mated, non_mated = mated_and_non_mated(unit, labels)
    rows, columns = np.triu_indices(n, k=1)
    scores = (unit @ unit.T)[rows, columns]
    same = labels[rows] == labels[columns]
    np.testing.assert_allclose(np.sort(mated), np.sort(scores[same]), atol=1e-12)
    np.testing.assert_allclose(np.sort(non_mated), np.sort(scores[~same]), atol=1e-12)


def test_it_agrees_with_all_pairs() -> None:
    unit, labels = _unit(40), np.repeat(np.arange(10), 4)
    pairs = all_pairs(unit, labels)
    mated, non_mated = mated_and_non_mated(unit, labels)
    np.testing.assert_allclose(np.sort(mated), np.sort(pairs.mated), atol=1e-12)
    np.testing.assert_allclose(np.sort(non_mated), np.sort(pairs.non_mated), atol=1e-12)


def test_a_large_set_is_bounded_and_every_mated_pair_is_kept() -> None:
    unit, labels = _unit(600), np.repeat(np.arange(150), 4)
    mated, non_mated = mated_and_non_mated(unit, labels, max_non_mated=6000)
    assert len(mated) == 150 * 6
    assert 5000 < len(non_mated) <= 6000
    everything = mated_and_non_mated(unit, labels)[1]
    assert len(everything) == 600 * 599 // 2 - len(mated)
    assert non_mated.mean() == pytest.approx(everything.mean(), abs=4 * everything.std() / np.sqrt(len(non_mated)))


@pytest.mark.parametrize(("people", "per_person", "asked"), [(5000, 20, 60_000), (5000, 20, 200_000), (5, 200, 1000)])
def test_a_set_larger_than_the_sample_is_not_compared_with_its_neighbours_alone(
    people: int, per_person: int, asked: int
) -> None:
    labels = np.repeat(np.arange(people), per_person)
    pairs = sampled_pairs(_unit(len(labels)), labels, max_non_mated=asked)
    first, second = pairs.identities_a[~pairs.same].astype(int), pairs.identities_b[~pairs.same].astype(int)
    assert 0.7 * asked < len(first) <= asked
    apart = np.minimum(np.abs(first - second), people - np.abs(first - second))
    if people > 5:
        assert (apart == 1).mean() < 0.05
        spread = np.quantile(apart, [0.1, 0.5, 0.9]) / people
        assert spread == pytest.approx([0.05, 0.25, 0.45], abs=0.02)  # within a step of 32 shifts
        assert len(np.unique(first)) > 0.9 * people
    else:
        assert set(apart.tolist()) == {1, 2}
