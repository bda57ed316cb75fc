"""Uniqueness, consistency and diversity against loops, and where they mislead."""

import itertools

import numpy as np
import pytest

from synthface.metrics.class_measures import class_means, class_recall, consistent_images, unique_classes
from synthface.metrics.class_sample import sample_classes


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def _people(n: int, images: int, dimensions: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    faces = np.repeat(_unit(rng.normal(size=(n, dimensions))), images, axis=0)
    vectors = _unit(faces + spread * rng.normal(size=faces.shape) / np.sqrt(dimensions))
    return vectors, np.repeat(np.arange(n), images)


def test_balls_are_added_until_they_collide() -> None:
    centres = np.random.default_rng(0).normal(size=(60, 6))
    kept: list[int] = []
    for k, centre in enumerate(_unit(centres)):
        if all(_unit(centres)[other] @ centre < 0.3 for other in kept):
            kept.append(k)
    assert np.flatnonzero(unique_classes(centres, 0.3)).tolist() == kept
    assert 1 < len(kept) < 60
    assert np.array_equal(unique_classes(7 * centres, 0.3), unique_classes(centres, 0.3))


def test_a_class_that_meets_only_a_rejected_one_is_new() -> None:
    angles = np.array([0.0, 1.0, 2.0])  # cos(1) = .54, cos(2) = -.42
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert unique_classes(centres, 0.5).tolist() == [True, False, True]


@pytest.mark.parametrize("leave_out", [False, True])
def test_consistency_against_a_loop(leave_out: bool) -> None:
    vectors, labels = _people(8, 5, 16, spread=2.5)
    flags = consistent_images(vectors, labels, 0.5, leave_out=leave_out)
    for k, vector in enumerate(vectors):
        members = labels == labels[k]
        if leave_out:
            members[k] = False
        assert flags[k] == (_unit(vectors[members].mean(axis=0)) @ vector > 0.5)
    assert 0 < flags.mean() < 1


def test_strangers_are_consistent_unless_left_out_of_their_own_centre() -> None:
    vectors, labels = _people(50, 5, 512, spread=1e3)
    assert consistent_images(vectors, labels, 0.3).mean() > 0.99
    assert consistent_images(vectors, labels, 0.3, leave_out=True).mean() < 0.01


def test_an_image_alone_in_its_class_agrees_with_nobody() -> None:
    assert consistent_images(np.eye(2), [0, 1], 0.3).all()
    assert not consistent_images(np.eye(2), [0, 1], 0.3, leave_out=True).any()


def test_means_are_in_the_order_of_the_labels() -> None:
    rows = np.array([[1.0, 0], [3, 0], [0, 5]])
    np.testing.assert_array_equal(class_means(rows, [7, 7, 2]), [[0, 5], [2, 0]])


def test_recall_is_the_mean_over_all_pairings_of_labels() -> None:
    rng = np.random.default_rng(1)
    real, generated = rng.normal(size=(4, 6, 3)), 0.8 * rng.normal(size=(3, 6, 3))

    def recall(x: np.ndarray, y: np.ndarray, k: int) -> float:
        between = np.linalg.norm(y[:, None] - y, axis=2)
        radii = np.sort(between, axis=1)[:, k]  # the point itself is the first
        return float(np.mean([any(np.linalg.norm(a - y, axis=1) <= radii) for a in x]))

    expected = [np.mean([recall(x, y, 3) for x in real]) for y in generated]
    found = class_recall(real.reshape(-1, 3), None, generated.reshape(-1, 3), np.repeat([0, 1, 2], 6))
    np.testing.assert_allclose(found, expected)
    itself = class_recall(real.reshape(-1, 3), np.repeat(np.arange(4), 6), real.reshape(-1, 3), np.repeat(range(4), 6))
    for k, share in enumerate(itself):
        others = [x for other, x in enumerate(real) if other != k]
        assert share == pytest.approx(np.mean([recall(x, real[k], 3) for x in others]))


def test_a_sample_bounds_classes_and_images_and_leaves_single_images_out() -> None:
    labels = np.repeat([0, 1, 2, 3], [1, 2, 50, 7])
    rows = sample_classes(labels, classes=None, images=5)
    assert np.bincount(labels[rows], minlength=4).tolist() == [0, 2, 5, 5]
    assert (np.diff(rows) > 0).all()
    fewer = sample_classes(labels, classes=2, images=5)
    assert len(np.unique(labels[fewer])) == 2
    assert set(fewer) <= set(rows), "a class's images do not depend on the other classes"
    drawn = {tuple(sample_classes(labels, classes=2, images=5, seed=seed)) for seed in range(20)}
    assert len(drawn) > 3
    assert {tuple(np.unique(labels[list(one)])) for one in drawn} == set(itertools.combinations((1, 2, 3), 2))
