"""Scores against naive loops over pairs."""

import numpy as np
import pytest

from inversion.scoring import (
    Gallery,
    Threshold,
    attack_success,
    cross_identity_threshold,
    pairs_threshold,
    score_images,
)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def gallery() -> Gallery:
    """Forty people with three pictures each; the targets are the first pictures of the first ten."""
    generator = np.random.default_rng(0)
    people = generator.normal(size=(40, 16)).repeat(3, axis=0)
    vectors = unit(people + generator.normal(size=(120, 16)) * 0.8)
    identities = np.array([f"P{k // 3:02d}" for k in range(120)])
    return Gallery(vectors, identities, np.arange(0, 30, 3))


@pytest.fixture
def images(gallery: Gallery) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=(10, 16)) * 0.35
    return unit(gallery.vectors[gallery.sources] + noise)


def test_cosines_and_floor(gallery: Gallery, images: np.ndarray) -> None:
    targets = gallery.vectors[gallery.sources]
    owners = gallery.identities[gallery.sources]
    scores = score_images(images, targets, owners)
    own = [float(np.dot(image, target)) for image, target in zip(images, targets, strict=True)]
    others = [float(np.dot(images[i], targets[j])) for i in range(10) for j in range(10) if i != j]
    assert scores["cosine_mean"] == pytest.approx(np.mean(own), abs=1e-6)
    assert scores["floor_mean"] == pytest.approx(np.mean(others), abs=1e-6)
    assert scores["cosine_quantiles"]["0.5"] == pytest.approx(np.median(own), abs=1e-6)
    low, high = scores["cosine_interval"]
    half = 1.96 * np.std(own) / np.sqrt(10)
    assert low == pytest.approx(np.mean(own) - half, abs=0.5 * half)
    assert high == pytest.approx(np.mean(own) + half, abs=0.5 * half)
    alone = score_images(images[:1], targets[:1], owners[:1])
    assert alone["floor_mean"] is None


def test_threshold_keeps_the_rate_of_all_cross_identity_pairs(gallery: Gallery) -> None:
    threshold = cross_identity_threshold(gallery, fmr=0.01)
    scores = [
        float(np.dot(gallery.vectors[i], gallery.vectors[j]))
        for i in range(120)
        for j in range(i)
        if gallery.identities[i] != gallery.identities[j]
    ]
    assert threshold.n_non_mated == len(scores)
    assert np.mean(np.array(scores) >= threshold.value) == pytest.approx(0.01, abs=1 / len(scores))
    few = Gallery(gallery.vectors[:9], gallery.identities[:9], np.arange(3))
    assert cross_identity_threshold(few, fmr=0.01) is None  # 27 pairs cannot show one in a hundred


def test_threshold_from_given_pairs(gallery: Gallery) -> None:
    pairs = np.array([[i, j] for i in range(0, 60) for j in range(60, 120)])
    threshold = pairs_threshold(gallery, pairs, fmr=0.05)
    scores = (gallery.vectors[pairs[:, 0]] * gallery.vectors[pairs[:, 1]]).sum(1)
    assert threshold.n_non_mated == 3600
    assert np.mean(scores >= threshold.value) == pytest.approx(0.05, abs=1e-3)
    assert pairs_threshold(gallery, pairs[:10], fmr=0.05) is None


def test_success_rates_count_the_right_pairs(gallery: Gallery, images: np.ndarray) -> None:
    threshold = Threshold(0.5, 0.001, 7020)
    rates = attack_success(images, gallery, threshold)
    first, second, real, floor = [], [], [], []
    for k, source in enumerate(gallery.sources):
        for j in range(120):
            accepted = np.dot(images[k], gallery.vectors[j]) >= 0.5
            if j == source:
                first.append(accepted)
            elif gallery.identities[j] == gallery.identities[source]:
                second.append(accepted)
                real.append(np.dot(gallery.vectors[source], gallery.vectors[j]) >= 0.5)
            else:
                floor.append(accepted)
    assert rates["type_1"]["rate"] == pytest.approx(np.mean(first))
    assert rates["type_2"]["rate"] == pytest.approx(np.mean(second))
    assert rates["type_2"]["n_pairs"] == 20
    assert rates["real_tmr"]["rate"] == pytest.approx(np.mean(real))
    assert rates["floor"] == pytest.approx(np.mean(floor))
    assert 0 < rates["type_2"]["rate"] < 1
    low, high = rates["type_2"]["interval"]
    assert low < rates["type_2"]["rate"] < high


def test_all_or_none_still_has_an_interval(gallery: Gallery, images: np.ndarray) -> None:
    none = attack_success(images, gallery, Threshold(1.1, 0.001, 7020))["type_1"]
    assert none["rate"] == 0
    assert none["interval"] == pytest.approx([0, 0.2775], abs=1e-3)  # Wilson, 0 of 10
    singles = Gallery(gallery.vectors[::3], gallery.identities[::3], np.arange(10))
    assert attack_success(images, singles, Threshold(0.5, 0.001, 780))["type_2"] is None
