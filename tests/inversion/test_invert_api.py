"""The whole of ``invert`` on a tiny recogniser, and a few steps on a real one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from inversion import InversionConfig, inversion_steps, invert
from inversion.extras import Extras
from synthface.core.errors import ConfigError, DataError


def test_cosine_rises_and_is_that_of_the_saved_bytes(
    tiny: nn.Module, targets: np.ndarray, quick: InversionConfig
) -> None:
    result = invert(tiny, targets, config=replace(quick, steps=50, group_size=5))
    assert result.images.shape == (5, 112, 112, 3)
    assert result.images.dtype == np.uint8
    with torch.no_grad():
        embeddings = tiny(torch.from_numpy(result.images).permute(0, 3, 1, 2).float() / 127.5 - 1).numpy()
    products = (embeddings * targets).sum(1) / np.linalg.norm(embeddings, axis=1) / np.linalg.norm(targets, axis=1)
    np.testing.assert_allclose(result.cosine, products, atol=1e-5)
    assert result.cosine.min() > 0.7
    assert result.history["cosine"].shape == (1, 50)
    assert (result.history["cosine"][:, 0] < 0.5).all()
    assert set(result.history) == {"identity", "prior", "tv_l1", "tv_norm", "l2", "cosine"}


def test_same_arguments_same_bytes_other_seed_others(
    tiny: nn.Module, targets: np.ndarray, quick: InversionConfig
) -> None:
    first, second, other = (invert(tiny, targets, seed=seed, config=quick).images for seed in (4, 4, 5))
    assert np.array_equal(first, second)
    assert all(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert np.array_equal(first, invert(tiny, targets * 8, seed=4, config=quick).images)  # any norm will do


@pytest.mark.parametrize("form", ["cosine", "feature_l2", "margin"])
def test_a_target_depends_on_its_own_group_alone(
    form: str, tiny: nn.Module, targets: np.ndarray, quick: InversionConfig
) -> None:
    config = replace(quick, identity_form=form, least_batch=3)
    extras = Extras(centres=np.concatenate([targets, -targets]))
    whole = invert(tiny, targets, config=config, extras=extras)
    elsewhere = targets.copy()
    elsewhere[:2] *= -9  # other people, and other norms
    changed = invert(tiny, elsewhere, config=config, extras=extras).images
    assert not np.array_equal(whole.images[0], changed[0])
    assert np.array_equal(whole.images[2:], changed[2:])
    steps = inversion_steps(tiny, targets, config, skip={0, 1}, extras=extras)
    resumed = [report.finished for report in steps if report.finished is not None]
    assert [group.group for group in resumed] == [2]
    assert np.array_equal(resumed[0].images, whole.images[4:])
    for name, values in resumed[0].history.items():
        assert np.array_equal(values, whole.history[name][2]), name


def test_one_target_alone_works(tiny: nn.Module, targets: np.ndarray, quick: InversionConfig) -> None:
    result = invert(tiny, targets[:1], config=replace(quick, steps=40, least_batch=3))
    assert result.images.shape == (1, 112, 112, 3)
    assert result.cosine[0] > 0.7


def test_prior_makes_statistics_natural(tiny: nn.Module, targets: np.ndarray, quick: InversionConfig) -> None:
    from inversion.bn_prior import BatchNormStatistics

    distances = []
    for weight in (0.0, 60.0):
        images = invert(tiny, targets, config=replace(quick, steps=40, group_size=5, prior_weight=weight)).images
        with BatchNormStatistics(tiny) as statistics:
            tiny(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1)
            distances.append(statistics.distance("kl").item())
    assert distances[1] < 0.5 * distances[0]


def test_recogniser_is_left_as_it_was(tiny: nn.Module, targets: np.ndarray, quick: InversionConfig) -> None:
    tiny.train()
    tiny.features[2].eval()
    tiny.features[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    modes = [module.training for module in tiny.modules()]
    wanted = [parameter.requires_grad for parameter in tiny.parameters()]
    steps = inversion_steps(tiny, targets, quick)
    next(steps)
    assert not any(module.training for module in tiny.modules())
    steps.close()
    assert modes == [module.training for module in tiny.modules()]
    invert(tiny, targets, config=quick)
    assert modes == [module.training for module in tiny.modules()]
    assert wanted == [parameter.requires_grad for parameter in tiny.parameters()]
    assert all(torch.equal(before[name], value) for name, value in tiny.state_dict().items())
    assert all(parameter.grad is None for parameter in tiny.parameters())
    assert not any(module._forward_pre_hooks for module in tiny.modules())


def test_progress_hears_of_every_step(tiny: nn.Module, targets: np.ndarray, quick: InversionConfig) -> None:
    heard = []
    invert(tiny, targets, config=quick, progress=lambda report: heard.append((report.group, report.step)))
    assert heard == [(group, step) for group in range(3) for step in range(1, 13)]


def test_paper_recipe_runs(tiny: nn.Module, targets: np.ndarray) -> None:
    from inversion import PRESETS

    result = invert(tiny, targets, config=replace(PRESETS["paper"], steps=40, least_batch=1))
    assert result.cosine.mean() > 0.5
    assert result.history["tv_norm"].min() > 0
    assert result.history["l2"].min() > 0


def test_misuse_is_one_line(tiny: nn.Module, targets: np.ndarray, quick: InversionConfig) -> None:
    with pytest.raises(DataError, match="3 dimensions, the recogniser's embeddings 8"):
        invert(tiny, targets[:, :3], config=quick)
    with pytest.raises(ConfigError, match="no inversion preset 'slow'; there are fast"):
        invert(tiny, targets, preset="slow")
    with pytest.raises(ConfigError, match="BatchNorm2d"):
        invert(nn.Sequential(nn.Flatten(), nn.Linear(3 * 112 * 112, 8)), targets, config=quick)
    assert not any(module._forward_pre_hooks for module in tiny.modules())


def test_divergence_is_named(tiny: nn.Module, targets: np.ndarray, quick: InversionConfig) -> None:
    with torch.no_grad():
        tiny.head[1].weight[0, 0] = float("nan")
    with pytest.raises(ConfigError, match="diverged at step 1; lower learning_rate"):
        invert(tiny, targets, config=quick)


@pytest.mark.shared
def test_real_recogniser_in_a_few_steps(shared: Path) -> None:
    from synthface.recognition import load_recognizer

    recognizer = load_recognizer("mobilefacenet-ms1m")
    targets = np.random.default_rng(0).normal(size=(4, recognizer.embedding_dim))
    result = invert(recognizer, targets, config=InversionConfig(steps=20))
    assert result.cosine.mean() > 0.4
    assert result.history["prior"][0, -1] < 0.3 * result.history["prior"][0, 0]
    embeddings = recognizer.embed(result.images)  # the folded network that embeds everything else
    unit = targets / np.linalg.norm(targets, axis=1, keepdims=True)
    np.testing.assert_allclose((embeddings * unit).sum(1), result.cosine, atol=1e-4)
