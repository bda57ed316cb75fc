"""Effective identities against a naive search, capacity against geometry."""

import numpy as np
import pytest

from synthface.metrics import merged_classes
from synthface.metrics.capacity import cap_share, log_capacity
from synthface.metrics.merged_classes import merge_classes
from synthface.privacy import Embeddings
from synthface.privacy.gallery import build_gallery
from synthface.privacy.uniqueness import class_means, within_class_scores


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def classes(faces, images, seed=0, spread=0.5):
    rng = np.random.default_rng(seed)
    vectors = unit(
        np.repeat(faces, images, axis=0) + spread * rng.standard_normal((len(faces) * images, faces.shape[1]))
    )
    names = np.repeat([f"class{index:04d}" for index in range(len(faces))], images)
    return build_gallery(Embeddings(vectors, names, names), 1 << 40)


def groups(edges, n):
    owner = list(range(n))
    for first, second in edges:
        old, new = owner[second], owner[first]
        owner = [new if one == old else one for one in owner]
    return len(set(owner))


@pytest.mark.parametrize("edges_kept", [2_000_000, 10])
def test_merged_classes_against_loops(edges_kept, monkeypatch):
    monkeypatch.setattr(merged_classes, "_EDGES", edges_kept)
    monkeypatch.setattr(merged_classes, "_ROWS", 7)
    means = class_means(classes(np.random.default_rng(1).standard_normal((60, 8)), 3))
    scores = means @ means.T
    edges = [(a, b) for a in range(60) for b in range(a + 1, 60) if scores[a, b] >= 0.6]
    merged = merge_classes(means, 0.6)
    assert (merged.pairs, merged.n_pairs, merged.identities) == (len(edges), 1770, groups(edges, 60))
    assert 1 < merged.identities < 60


def test_mean_score_of_two_classes_is_the_product_of_their_means():
    gallery = classes(np.random.default_rng(2).standard_normal((2, 16)), 4)
    means = class_means(gallery)
    pairs = gallery.vectors[:4] @ gallery.vectors[4:].T
    assert means[0] @ means[1] == pytest.approx(pairs.mean(), abs=1e-6)


def test_one_person_in_several_classes_is_counted_once():
    faces = np.random.default_rng(3).standard_normal((20, 64))
    faces[5:9] = faces[5]
    merged = merge_classes(class_means(classes(faces, 8, spread=0.3)), 0.6)
    assert (merged.pairs, merged.identities) == (6, 17)


def test_scores_within_classes_are_all_pairs():
    gallery = classes(np.random.default_rng(4).standard_normal((3, 16)), 5)
    scores = within_class_scores(gallery, np.random.default_rng(0))
    expected = [
        gallery.vectors[5 * k + i] @ gallery.vectors[5 * k + j] for k in range(3) for i in range(5) for j in range(i)
    ]
    np.testing.assert_allclose(np.sort(scores), np.sort(expected), atol=1e-6)


def test_caps_in_two_and_three_dimensions():
    for angle in (0.2, 1.0, np.pi / 2, 2.5, np.pi):
        assert cap_share(angle, 2) == pytest.approx(angle / np.pi)
        assert cap_share(angle, 3) == pytest.approx((1 - np.cos(angle)) / 2)


def test_cap_in_many_dimensions_by_counting():
    points = unit(np.random.default_rng(5).standard_normal((100_000, 12)))
    assert cap_share(1.1, 12) == pytest.approx(np.mean(points[:, 0] >= np.cos(1.1)), abs=0.003)


def test_capacity_in_the_plane():
    # classes all round the circle, each without extent: half the circle over a threshold's half angle
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    templates = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    capacity = log_capacity(templates, np.ones(10), threshold=np.cos(0.1))
    assert 10**capacity == pytest.approx((np.pi / 2 + 0.05) / 0.05, rel=0.01)


def test_collapsed_classes_have_room_for_one():
    templates = np.tile(unit(np.ones((1, 64))), (10, 1))
    assert log_capacity(templates, np.full(10, 0.9), threshold=0.3) == 0.0
