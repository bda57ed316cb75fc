"""Batch norm, moments and PReLU of a frozen network against torch's own, and their gradients against differences."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inversion.fast_layers import batch_moments, fast_prelus, normalise_with_moments, prelu

SLOPES = torch.tensor([0.1, -0.3, 0.0, 1.5], dtype=torch.float64)


def _features(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 4, 5, 6, generator=generator, dtype=torch.float64) * 3 + 7


def _norm(*, affine: bool = True) -> nn.BatchNorm2d:
    generator = torch.Generator().manual_seed(1)
    layer = nn.BatchNorm2d(4, eps=1e-3, affine=affine).double().eval().requires_grad_(False)
    layer.running_mean.normal_(generator=generator)
    layer.running_var.uniform_(0.5, 2, generator=generator)
    if affine:
        layer.weight.normal_(generator=generator)
        layer.weight[1] = 0  # a channel that is switched off
        layer.bias.normal_(generator=generator)
    return layer


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_moments_equal_naive_ones(layout: torch.memory_format) -> None:
    features = _features().float()
    mean, variance = batch_moments(features.contiguous(memory_format=layout))
    columns = features.permute(1, 0, 2, 3).reshape(4, -1).double().numpy()
    np.testing.assert_allclose(mean, columns.mean(1), rtol=1e-5)
    np.testing.assert_allclose(variance, columns.var(1), rtol=1e-4)


def test_moments_of_half_precision_features_are_summed_in_full() -> None:
    features = (_features() * 0.01 + 1).bfloat16()  # mean far above the spread
    mean, variance = batch_moments(features)
    assert mean.dtype == variance.dtype == torch.float32
    torch.testing.assert_close(variance, features.float().var((0, 2, 3), correction=0), rtol=1e-3, atol=1e-6)
    assert batch_moments(features.requires_grad_())[1].sum().backward() is None
    assert features.grad is not None
    assert features.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("affine", [True, False])
def test_gradients_equal_finite_differences(affine: bool) -> None:
    features, layer = _features().requires_grad_(), _norm(affine=affine)

    def normalise(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        output, (mean, variance) = normalise_with_moments(x, layer)
        return output, mean, variance

    assert torch.autograd.gradcheck(normalise, (features,))
    assert torch.autograd.gradcheck(batch_moments, (features,))
    assert torch.autograd.gradcheck(lambda x: prelu(x - 7, SLOPES), (features,))


def test_normalised_features_are_those_of_the_layer() -> None:
    for affine in (True, False):
        layer = _norm(affine=affine)
        output, moments = normalise_with_moments(_features(), layer)
        torch.testing.assert_close(output, layer(_features()))
        torch.testing.assert_close(moments, batch_moments(_features()))


def test_prelu_equals_that_of_torch_also_at_zero() -> None:
    ours, theirs = (
        torch.tensor([[-2.0, 0.0, 0.0, -1.0], [0.0, 3.0, -3.0, 2.0]]).double().requires_grad_() for _ in "12"
    )
    for slopes in (SLOPES, SLOPES[:1]):
        ours.grad = theirs.grad = None
        prelu(ours, slopes).exp().sum().backward()
        nn.functional.prelu(theirs, slopes).exp().sum().backward()
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_prelus_are_replaced_while_the_context_is_open_only() -> None:
    layer = nn.PReLU(4).double()
    model = nn.Sequential(layer, nn.ReLU())
    with fast_prelus(model):
        assert "forward" in vars(layer)
        model(_features() - 7).sum().backward()
        assert layer.weight.grad is not None  # it wants a gradient, so it gets one
        layer.weight.grad = None
        layer.requires_grad_(False)
        features = (_features() - 7).requires_grad_()
        model(features).sum().backward()
        assert layer.weight.grad is None
        assert features.grad is not None
    assert "forward" not in vars(layer)
    with pytest.raises(RuntimeError, match="Type promoting"), fast_prelus(model):
        model(_features().float())
    assert "forward" not in vars(layer)
