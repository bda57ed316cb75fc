"""The collector against naive statistics, and the three forms against their definitions."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from inversion.bn_prior import BatchNormStatistics, batch_moments, layer_distance
from synthface.core.errors import ConfigError


def test_moments_equal_naive_ones() -> None:
    features = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0)) * 3 + 7
    for layout in (torch.contiguous_format, torch.channels_last):
        mean, variance = batch_moments(features.contiguous(memory_format=layout))
        columns = features.permute(1, 0, 2, 3).reshape(4, -1).double().numpy()
        np.testing.assert_allclose(mean, columns.mean(1), rtol=1e-5)
        np.testing.assert_allclose(variance, columns.var(1), rtol=1e-4)


def test_moments_have_the_gradient_of_naive_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, 4, 5, 6, generator=generator, requires_grad=True)
    of_mean, of_variance = torch.randn(2, 4, generator=generator)
    mean, variance = batch_moments(features)
    (ours,) = torch.autograd.grad((mean * of_mean + variance * of_variance).sum(), features)
    naive = (features.mean((0, 2, 3)) * of_mean).sum() + (features.var((0, 2, 3), correction=0) * of_variance).sum()
    (theirs,) = torch.autograd.grad(naive, features)
    torch.testing.assert_close(ours, theirs)


def test_collector_records_inputs_of_2d_layers_in_order(tiny: nn.Module, naturals: torch.Tensor) -> None:
    with BatchNormStatistics(tiny) as statistics:
        tiny(naturals + 1)  # not asked for, so forgotten
        tiny(naturals)
        taken = statistics.take()
        assert statistics.take() == []
    assert [index for index, _ in taken] == [0, 1]  # not the BatchNorm1d
    first = tiny.features[0](naturals)
    torch.testing.assert_close(taken[0][1][0], first.mean((0, 2, 3)))
    second = tiny.features[:4](naturals)
    torch.testing.assert_close(taken[1][1][1], second.var((0, 2, 3), correction=0))


def test_hooks_go_away_also_after_an_error(tiny: nn.Module, naturals: torch.Tensor) -> None:
    with pytest.raises(RuntimeError, match="expected input"), BatchNormStatistics(tiny):
        tiny(naturals[:, :2])
    assert not any(module._forward_pre_hooks for module in tiny.modules())


def test_model_without_statistics_is_refused() -> None:
    folded = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    untracked = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False))
    for model in (folded, untracked):
        with pytest.raises(ConfigError, match="BatchNorm2d"), BatchNormStatistics(model):
            pass


@pytest.mark.parametrize("form", ["kl", "paper", "deepinversion"])
def test_natural_batch_is_far_nearer_than_noise(tiny: nn.Module, naturals: torch.Tensor, form: str) -> None:
    noise = torch.randn(naturals.shape, generator=torch.Generator().manual_seed(1)).clamp(-1, 1)
    with BatchNormStatistics(tiny) as statistics:
        tiny(naturals)
        near = statistics.distance(form)
        tiny(noise)
        far = statistics.distance(form)
    assert 5 * near < far


def test_forms_equal_their_definitions() -> None:
    layer = nn.BatchNorm2d(2, eps=1e-9)
    layer.running_mean = torch.tensor([1.0, -2.0])
    layer.running_var = torch.tensor([4.0, 9.0])
    mean, variance = torch.tensor([2.0, 2.0]), torch.tensor([1.0, 25.0])
    paper = (1 + 16) + (1 + 4)
    deepinversion = np.sqrt(1 + 16) + np.sqrt(9 + 256)
    assert layer_distance(mean, variance, layer, "paper").item() == pytest.approx(paper)
    assert layer_distance(mean, variance, layer, "deepinversion").item() == pytest.approx(deepinversion)
    batch = torch.distributions.Normal(mean, variance.sqrt())
    running = torch.distributions.Normal(layer.running_mean, layer.running_var.sqrt())
    divergence = torch.distributions.kl_divergence(batch, running).mean()
    assert layer_distance(mean, variance, layer, "kl").item() == pytest.approx(divergence.item())


def test_prior_vanishes_at_the_running_statistics_and_weighs_the_first_layer(tiny: nn.Module) -> None:
    model = copy.deepcopy(tiny)
    images = torch.randn(4, 3, 112, 112, generator=torch.Generator().manual_seed(2))
    with torch.no_grad(), BatchNormStatistics(model) as statistics:
        for k, layer in enumerate(statistics.layers):  # in order: a layer's statistics change what the next one sees
            model(images)
            layer.running_mean, layer.running_var = (moment.clone() for moment in statistics.take()[k][1])
        model(images)
        assert abs(statistics.distance("kl").item()) < 1e-4
        statistics.layers[0].running_mean += 1
        model(images)
        first = layer_distance(*statistics.take()[0][1], statistics.layers[0], "paper").item()
        model(images)
        once = statistics.distance("paper").item()
        model(images)
        assert first == pytest.approx(6, rel=1e-3)  # six channels, each one off
        assert statistics.distance("paper", 10.0).item() == pytest.approx(once + 9 * first, rel=1e-3)
