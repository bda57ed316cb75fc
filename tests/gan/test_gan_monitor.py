"""What the monitor measures, on generators that work and on broken ones."""

from typing import Any

import numpy as np
import pytest
import torch

from gan.config import NetworkConfig
from gan.monitor_config import MonitorConfig
from gan.networks.generator import Generator
from gan.training.monitor import Monitor, RealImages, balanced_rows, draw_grid, real_spread
from synthface.core.errors import DataError
from synthface.metrics.all_pairs import all_pairs
from synthface.metrics.frechet import frechet_distance, moments
from synthface.metrics.verification import equal_error_rate

N_CLASSES, SIDE, DIM = 6, 8, 5
CONFIG = MonitorConfig(classes=4, per_class=3, neighbours=2)
_PROJECTION = np.random.default_rng(9).normal(size=(SIDE * SIDE * 3, DIM))


def _embed(images: np.ndarray) -> np.ndarray:
    raw = (images.reshape(len(images), -1) / 255 - 0.5) @ _PROJECTION
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def _generator() -> Generator:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = NetworkConfig(resolution=SIDE, z_dim=6, w_dim=6, channel_base=64, channel_max=8)
        return Generator(config, N_CLASSES).eval().requires_grad_(False)


def _real(per_class: int = 5) -> RealImages:
    generator = np.random.default_rng(1)
    labels = np.repeat(np.arange(N_CLASSES), per_class)
    base = generator.integers(30, 220, (N_CLASSES, SIDE, SIDE, 3))
    pixels = np.clip(base[labels] + generator.integers(-30, 30, (len(labels), SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    return RealImages(_embed(pixels), pixels, labels)


def _measure(G: Generator) -> dict[str, Any]:
    return Monitor(CONFIG, _real(), _embed, seed=0).measure(G, draw_grid(G, 0))


def test_a_working_generator_depends_on_seed_and_class() -> None:
    measured = _measure(_generator())
    assert measured["seed_share"] > 0.1
    assert measured["class_share"] > 0.1
    assert measured["n_images"] == 12
    assert all(value is None or np.isfinite(value) for value in measured.values())
    assert measured["eer_real"] < 0.1 < measured["eer"], "real classes are far apart, those of a new generator are not"


@pytest.mark.parametrize(("ignored", "share"), [("seed", "seed_share"), ("class", "class_share")])
def test_what_is_ignored_makes_no_difference_at_all(ignored: str, share: str) -> None:
    G = _generator()
    columns = slice(0, 6) if ignored == "seed" else slice(6, 12)
    G.mapping.layers[0].weight[:, columns] = 0
    measured = _measure(G)
    shares = {name: measured[name] for name in ("seed_share", "class_share")}
    assert shares.pop(share) == pytest.approx(0, abs=1e-6)
    assert shares.popitem()[1] > 0.1
    if ignored == "seed":
        assert measured["diversity"] == pytest.approx(0, abs=1e-6)
        assert measured["diversity_pixels"] == 0


def test_figures_are_those_of_the_images_drawn() -> None:
    G, real = _generator(), _real()
    seen: list[np.ndarray] = []

    def embed(images: np.ndarray) -> np.ndarray:
        seen.append(images)
        return _embed(images)

    monitor = Monitor(CONFIG, real, embed, seed=0)
    measured = monitor.measure(G, draw_grid(G, 0))
    features = _embed(seen[0])[:12]
    assert [len(images) for images in seen] == [12 + 6 * 8]
    pairs = all_pairs(features, monitor.labels)
    assert measured["eer"] == pytest.approx(equal_error_rate(pairs.mated, pairs.non_mated), abs=1e-9)
    rows = balanced_rows(real.labels, 3, 0)
    expected = frechet_distance(moments(real.features[rows]), moments(features)).value
    assert measured["frechet"] == pytest.approx(expected)
    cosines = [float(a @ b) for k in range(4) for a, b in _pairs(features[3 * k : 3 * k + 3].astype(np.float64))]
    assert measured["diversity"] == pytest.approx(1 - np.mean(cosines), abs=1e-6)


def test_the_spread_of_real_images_is_half_the_squared_distance_of_pairs() -> None:
    real = _real(per_class=3)
    spread = real_spread(real.features, real.pixels, real.labels)
    of_one = real.labels[:, None] == real.labels[None]
    mated, non_mated = np.triu(of_one, 1), ~of_one
    for space in ("features", "pixels"):
        rows = getattr(real, space).reshape(len(real.labels), -1).astype(np.float64)
        halves = np.square(rows[:, None] - rows[None]).sum(axis=2) / 2
        assert getattr(spread.within, space) == pytest.approx(halves[mated].mean(), rel=1e-6)
        assert getattr(spread.between, space) == pytest.approx(halves[non_mated].mean(), rel=1e-6)


def _pairs(rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(rows[i], rows[j]) for i in range(len(rows)) for j in range(i)]


def test_measuring_is_repeatable_and_leaves_random_states_alone() -> None:
    G = _generator()
    before = torch.random.get_rng_state()
    first, second = _measure(G), _measure(G)
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_grid_has_the_same_seeds_in_every_row() -> None:
    G = _generator()
    G.mapping.layers[0].weight[:, 6:] = 0
    grid = draw_grid(G, 0)
    assert grid.shape == (6, 8, SIDE, SIDE, 3)
    assert (grid == grid[:1]).all()
    assert not (grid == grid[:, :1]).all()


def test_large_classes_count_no_more_than_small_ones() -> None:
    labels = np.array([2] * 50 + [0] + [1] * 3)
    rows = balanced_rows(labels, 4, seed=0)
    assert np.bincount(labels[rows]).tolist() == [1, 3, 4]
    assert (np.diff(rows) > 0).all()
    assert (balanced_rows(labels, 4, seed=0) == rows).all()
    assert (balanced_rows(labels, 4, seed=1) != rows).any()


def test_too_few_people_are_refused() -> None:
    real = _real()
    lonely = RealImages(real.features[:8], real.pixels[:8], np.array([0, 0, 0, 1, 1, 1, 2, 3]))
    with pytest.raises(DataError, match="too few to measure"):
        Monitor(CONFIG, lonely, _embed, seed=0)
