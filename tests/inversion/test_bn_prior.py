"""The collector against naive statistics, and the three forms against their definitions."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from inversion.bn_prior import BatchNormStatistics, Reference, layer_weights, prior_distance
from synthface.core.errors import ConfigError


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


def test_nothing_is_left_on_the_model_also_after_an_error(tiny: nn.Module, naturals: torch.Tensor) -> None:
    with BatchNormStatistics(tiny):
        assert "forward" in vars(tiny.features[1])
    with pytest.raises(RuntimeError, match="expected input"), BatchNormStatistics(tiny):
        tiny(naturals[:, :2])
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in tiny.modules())
    assert not any("forward" in vars(module) for module in tiny.modules())


def test_watching_changes_neither_output_nor_gradient(tiny: nn.Module, naturals: torch.Tensor) -> None:
    plain, watched = (naturals.clone().requires_grad_() for _ in range(2))
    expected = tiny(plain)
    expected.square().sum().backward()
    tiny.requires_grad_(False)
    with BatchNormStatistics(tiny):
        output = tiny(watched)
        output.square().sum().backward()
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(watched.grad, plain.grad)


def test_opened_twice_both_record_and_the_first_stays(tiny: nn.Module, naturals: torch.Tensor) -> None:
    with BatchNormStatistics(tiny) as outer:
        with BatchNormStatistics(tiny) as inner:
            tiny(naturals)
            torch.testing.assert_close(outer.take(), inner.take())
        tiny(naturals)
        assert len(outer.take()) == 2


def test_statistics_are_those_that_training_mode_takes(tiny: nn.Module, naturals: torch.Tensor) -> None:
    reference = copy.deepcopy(tiny)
    reference.features[1].train()
    reference.features[1].momentum = 1.0  # running statistics become the batch's
    reference(naturals)
    tiny.requires_grad_(False)
    with BatchNormStatistics(tiny) as statistics:
        tiny(naturals)
        mean, variance = statistics.take()[0][1]
    n = naturals.shape[0] * 27 * 27
    torch.testing.assert_close(mean, reference.features[1].running_mean)
    torch.testing.assert_close(variance * n / (n - 1), reference.features[1].running_var)  # torch keeps the unbiased


def test_parameters_that_want_gradients_get_them(tiny: nn.Module, naturals: torch.Tensor) -> None:
    norm = tiny.features[1]
    tiny.requires_grad_(True)
    tiny(naturals).square().sum().backward()
    expected = norm.weight.grad.clone()
    tiny.zero_grad()
    with BatchNormStatistics(tiny):
        tiny(naturals).square().sum().backward()
    torch.testing.assert_close(norm.weight.grad, expected)


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


def _layer(mean: list[float], variance: list[float], eps: float = 1e-9) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(len(mean), eps=eps)
    layer.running_mean, layer.running_var = torch.tensor(mean), torch.tensor(variance)
    return layer


def test_forms_equal_their_definitions() -> None:
    layer = _layer([1.0, -2.0], [4.0, 9.0])
    mean, variance = torch.tensor([2.0, 2.0]), torch.tensor([1.0, 25.0])
    reference = Reference.of([layer], [1.0])
    paper = (1 + 16) + (1 + 4)
    deepinversion = np.sqrt(1 + 16) + np.sqrt(9 + 256)
    assert prior_distance(mean, variance, reference, "paper").item() == pytest.approx(paper)
    assert prior_distance(mean, variance, reference, "deepinversion").item() == pytest.approx(deepinversion)
    batch = torch.distributions.Normal(mean, variance.sqrt())
    running = torch.distributions.Normal(layer.running_mean, layer.running_var.sqrt())
    divergence = torch.distributions.kl_divergence(batch, running).mean()
    assert prior_distance(mean, variance, reference, "kl").item() == pytest.approx(divergence.item())


@pytest.mark.parametrize("form", ["kl", "paper", "deepinversion"])
def test_layers_are_summed_or_averaged_with_their_weights(form: str) -> None:
    layers = [_layer([0.5], [2.0], 1e-3), _layer([1.0, -2.0, 0.0], [4.0, 9.0, 1.0], 1e-5)]
    mean, variance = torch.tensor([1.0, 0.0, 1.0, 2.0]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    single = [
        prior_distance(mean[part], variance[part], Reference.of([layer], [1.0]), form)
        for layer, part in zip(layers, (slice(1), slice(1, 4)), strict=True)
    ]
    both = prior_distance(mean, variance, Reference.of(layers, [3.0, 0.5]), form)
    expected = 3 * single[0] + 0.5 * single[1]
    assert both.item() == pytest.approx((expected / 2 if form == "kl" else expected).item())


def test_gradient_of_each_form_equals_that_of_a_naive_one(tiny: nn.Module, naturals: torch.Tensor) -> None:
    """Features by hand, statistics by torch.mean and torch.var, all through autograd."""
    tiny.double().requires_grad_(False)
    norms = [tiny.features[1], tiny.features[4]]
    for form in ("kl", "paper", "deepinversion"):
        ours, naive = (naturals.double().requires_grad_() for _ in range(2))
        with BatchNormStatistics(tiny) as statistics:
            tiny(ours)
            distance = statistics.distance(form)
        distance.backward()
        terms = []
        for norm, features in zip(norms, (tiny.features[:1](naive), tiny.features[:4](naive)), strict=True):
            mean, variance = features.mean((0, 2, 3)), features.var((0, 2, 3), unbiased=False)
            d_mean, eps = mean - norm.running_mean, norm.eps
            if form == "deepinversion":
                terms.append(d_mean.norm() + (variance - norm.running_var).norm())
            elif form == "paper":
                d_std = (variance + eps).sqrt() - (norm.running_var + eps).sqrt()
                terms.append(d_mean.norm() ** 2 + d_std.norm() ** 2)
            else:
                wanted = norm.running_var + eps
                log_ratio = torch.log((variance + eps).sqrt() / wanted.sqrt())
                terms.append((-log_ratio + (variance + eps + d_mean**2) / (2 * wanted) - 0.5).mean() / 2)
        expected = sum(terms)
        expected.backward()
        torch.testing.assert_close(distance, expected)
        torch.testing.assert_close(ours.grad, naive.grad)


def test_layer_weights_are_linear_in_depth() -> None:
    assert layer_weights(3, 1.0, (1.0, 1.0)) == [1, 1, 1]
    assert layer_weights(5, 10.0, (2.0, 0.0)) == [20, 1.5, 1, 0.5, 0]
    assert layer_weights(1, 2.0, (3.0, 1.0)) == [6]


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
        first = (statistics.take()[0][1][0] - statistics.layers[0].running_mean).square().sum().item()
        model(images)
        once = statistics.distance("paper").item()
        model(images)
        assert first == pytest.approx(6, rel=1e-3)  # six channels, each one off
        assert statistics.distance("paper", 10.0).item() == pytest.approx(once + 9 * first, rel=1e-3)
