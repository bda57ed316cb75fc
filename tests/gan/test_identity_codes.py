"""Codes of new identities: what their weights add up to, and where they lie among the classes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan.distinct import identity_templates, keep_distinct
from gan.identities import Code, MixtureConfig, SampleConfig, mixed_identity, sampled_identity, share_below
from synthface.core.errors import ConfigError
from synthface.core.seeds import numpy_generator


def _row_of(code: Code, rows: np.ndarray) -> np.ndarray:
    return np.array(list(code.values())) @ rows[list(code)]


@given(n_classes=st.integers(32, 2000), index=st.integers(0, 10**6), seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_codes_depend_on_seed_and_index_and_sum_to_one(n_classes: int, index: int, seed: int) -> None:
    for code in (
        mixed_identity(n_classes, index, seed, MixtureConfig()),
        sampled_identity(n_classes, index, seed, SampleConfig()),
    ):
        assert sum(code.values()) == pytest.approx(1, abs=1e-4)
        assert all(0 <= k < n_classes for k in code)
    assert len(code) == 32
    assert code == sampled_identity(n_classes, index, seed, SampleConfig())
    assert code != sampled_identity(n_classes, index + 1, seed, SampleConfig())


def test_a_sampled_identity_has_the_mean_and_covariance_of_the_classes() -> None:
    generator = np.random.default_rng(0)
    shape = np.array([[2.0, 0, 0], [1.5, 0.5, 0], [0, 0, 0.1]])
    rows = generator.standard_normal((500, 3)) @ shape.T + [5.0, -3.0, 1.0]
    draws = np.stack([_row_of(sampled_identity(500, k, 0, SampleConfig(16)), rows) for k in range(4000)])
    np.testing.assert_allclose(draws.mean(axis=0), rows.mean(axis=0), atol=0.12)
    np.testing.assert_allclose(np.cov(draws.T), np.cov(rows.T), atol=0.25)
    mixed = np.stack([_row_of(mixed_identity(500, k, 0, MixtureConfig()), rows) for k in range(1000)])
    assert np.trace(np.cov(mixed.T)) < 0.4 * np.trace(np.cov(rows.T))  # a mixture shrinks towards the mean


def test_no_parent_shows_through_a_sampled_identity() -> None:
    """In 256 dimensions a class's direction has cosine about .4 at most, where a mixture's heaviest has .6."""
    rows = np.random.default_rng(0).standard_normal((1000, 256))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def closest(code: Code) -> float:
        row = _row_of(code, rows)
        return float((unit @ row).max() / np.linalg.norm(row))

    sampled = [closest(sampled_identity(1000, k, 0, SampleConfig())) for k in range(100)]
    mixed = [closest(mixed_identity(1000, k, 0, MixtureConfig())) for k in range(100)]
    assert np.median(sampled) < 0.45 < 0.55 < np.median(mixed)


def test_identities_need_classes_enough() -> None:
    with pytest.raises(
        ConfigError, match=r"needs 32 training classes; the generator has 12: give --sample\.n_parents 12"
    ):
        sampled_identity(12, 0, 0, SampleConfig())
    with pytest.raises(ConfigError, match=r"the generator has 40: give --sample\.n_parents 40"):
        sampled_identity(40, 0, 0, SampleConfig(64))
    with pytest.raises(ConfigError, match=r"the generator has 5: give --identities mixed$"):
        sampled_identity(5, 0, 0, SampleConfig())
    with pytest.raises(ConfigError, match=r"the generator has 3: give --mixture\.n_parents 3"):
        mixed_identity(3, 0, 0, MixtureConfig())
    with pytest.raises(ConfigError, match="the generator has 2: give --identities trained"):
        mixed_identity(2, 0, 0, MixtureConfig())
    with pytest.raises(ConfigError, match=r"--sample\.n_parents"):
        SampleConfig(4)


@pytest.mark.parametrize("config", [MixtureConfig(), MixtureConfig(2, 0.51), MixtureConfig(8, 0.2)])
def test_a_mixture_is_the_first_draw_that_is_even_enough(config: MixtureConfig) -> None:
    """Drawn many at once or one by one: the identities of a seed stay who they are."""
    for index in range(20):
        generator = numpy_generator(3, "mixed identity", index)
        classes = generator.choice(40, size=config.n_parents, replace=False)
        weights = generator.dirichlet(np.ones(config.n_parents))
        while weights.max() > config.max_weight:
            weights = generator.dirichlet(np.ones(config.n_parents))
        code = mixed_identity(40, index, 3, config)
        assert code == {int(k): round(float(w), 6) for k, w in zip(classes, weights, strict=True)}


@pytest.mark.parametrize(("n", "most"), [(2, 0.6), (4, 0.4), (4, 0.3), (16, 0.15), (40, 0.1)])
def test_the_share_of_even_mixtures_is_that_of_draws(n: int, most: float) -> None:
    is_even = np.random.default_rng(0).dirichlet(np.ones(n), size=20_000).max(axis=1) <= most
    assert share_below(n, most) == pytest.approx(is_even.mean(), abs=0.02)


def test_the_share_of_even_mixtures_in_closed_form() -> None:
    assert share_below(2, 1.0) == 1
    assert share_below(2, 0.51) == pytest.approx(0.02)  # the first of two weights lies between .49 and .51
    assert share_below(3, 0.35) == pytest.approx((3 * 0.35 - 1) ** 2)  # a small triangle in the large one
    assert share_below(5000, 0.0003) < 1e-6  # without a sum of thousands of large terms


@pytest.mark.parametrize(("n_parents", "max_weight"), [(16, 0.08), (32, 0.05), (1000, 0.0015)])
def test_mixtures_that_nobody_would_live_to_see_are_refused(n_parents: int, max_weight: float) -> None:
    with pytest.raises(ConfigError, match=rf"^--mixture\.max_weight {max_weight}: of mixtures of {n_parents} classes"):
        MixtureConfig(n_parents, max_weight)


def test_a_rare_mixture_is_drawn_soon() -> None:
    assert max(mixed_identity(40, 0, 0, MixtureConfig(8, 0.15)).values()) <= 0.15


def _unit(n: int, seed: int, dim: int = 4) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _greedy(rows: np.ndarray, threshold: float, others: np.ndarray) -> list[int]:
    kept: list[int] = []
    for i, row in enumerate(rows):
        if all(row @ o < threshold for o in others) and all(row @ rows[k] < threshold for k in kept):
            kept.append(i)
    return kept


@given(seed=st.integers(0, 1000), block=st.integers(1, 50), threshold=st.floats(0.2, 0.95))
@settings(max_examples=40, deadline=None)
def test_the_filter_is_the_plain_loop_whatever_the_blocks(seed: int, block: int, threshold: float) -> None:
    rows, others = _unit(90, seed), _unit(3, seed + 5000)
    blocks = (rows[start : start + block] for start in range(0, len(rows), block))
    assert list(keep_distinct(blocks, threshold, others=others)) == _greedy(rows, threshold, others)


def test_the_filter_keeps_the_same_people_however_many_are_asked_for() -> None:
    rows = _unit(200, 0)
    everything = list(keep_distinct([rows], 0.8))
    few = keep_distinct((rows[start : start + 7] for start in range(0, 200, 7)), 0.8)
    assert [next(few) for _ in range(5)] == everything[:5]
    kept = rows[everything]
    assert ((kept @ kept.T)[np.triu_indices(len(kept), 1)] < 0.8).all()


def test_the_filter_gives_up() -> None:
    same = np.tile(_unit(1, 0), (20, 1))
    looked_at: list[int] = []

    def blocks():
        for index in range(100):
            looked_at.append(index)
            yield same

    assert list(keep_distinct(blocks(), 0.9, patience=50)) == [0]
    assert len(looked_at) == 3


def test_templates_are_unit_means() -> None:
    unit = _unit(6, 0)
    templates = identity_templates(unit, 3)
    means = np.stack([unit[:3].mean(axis=0), unit[3:].mean(axis=0)])
    np.testing.assert_allclose(templates, means / np.linalg.norm(means, axis=1, keepdims=True), rtol=1e-6)
