"""Convolutions in bfloat16: near the same numbers, and everything as before afterwards."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from inversion import InversionConfig, invert
from inversion.fast_layers import batch_moments, normalise_with_moments
from inversion.half_precision import half_convolutions
from inversion.objective import open_objective


def test_convolutions_change_while_the_context_is_open_only() -> None:
    plain, strided = nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.Conv2d(4, 4, 3, stride=2, groups=4)
    model = nn.Sequential(plain, strided).requires_grad_(False)
    images = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    with half_convolutions(model):
        assert "forward" not in vars(strided)  # its gradient is slow in bfloat16
        rounded = plain(images)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - plain(images)).abs().max() < 0.03


def test_a_batch_norm_that_takes_its_moments_gets_narrow_numbers(tiny: nn.Module, quick: InversionConfig) -> None:
    seen = []
    for weight in (0.0, 1.0):
        with open_objective(tiny, replace(quick, prior_weight=weight), half=True):
            conv = next(layer for layer in tiny.modules() if isinstance(layer, nn.Conv2d))
            seen.append(conv(torch.zeros(1, 3, 112, 112)).dtype)
            assert tiny(torch.zeros(1, 3, 112, 112)).dtype == torch.float32
    assert seen == [torch.float32, torch.bfloat16]


@pytest.mark.parametrize("values", [1.0, 300.0])
def test_moments_and_gradients_stay_in_full_precision(values: float) -> None:
    """Against the formulas in float64, on numbers that bfloat16 holds exactly."""
    rounded = (torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)) + values).bfloat16()
    layer = nn.BatchNorm2d(3).eval().requires_grad_(False)
    results = {}
    for features in (rounded.clone().requires_grad_(), rounded.double().requires_grad_()):
        exact = features.dtype == torch.float64
        normalised, (mean, variance) = normalise_with_moments(features, layer.double() if exact else layer.float())
        assert normalised.dtype == mean.dtype == variance.dtype == (torch.float64 if exact else torch.float32)
        torch.testing.assert_close(batch_moments(features), (mean, variance))
        (normalised.sum() / 100 + mean.sum() + variance.square().sum()).backward()
        results[exact] = mean.double(), variance.double(), features.grad.double()
    torch.testing.assert_close(results[False][:2], results[True][:2], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(results[False][2], results[True][2], rtol=1e-2, atol=1e-4)


def test_loss_is_near_that_in_full_precision(tiny: nn.Module, quick: InversionConfig) -> None:
    images = torch.rand(4, 3, 112, 112, generator=torch.Generator().manual_seed(2)) * 2 - 1
    targets = torch.eye(4, 8)
    found = []
    for half in (False, True):
        with open_objective(tiny, quick, half=half) as objective:
            terms, cosines = objective(images, targets, None)
            found.append((terms, cosines))
    torch.testing.assert_close(found[0], found[1], rtol=0.02, atol=0.02)
    assert not torch.equal(found[0][0], found[1][0])  # the option does something


def test_images_come_as_near_to_their_targets(tiny: nn.Module, targets: np.ndarray, quick: InversionConfig) -> None:
    config = replace(quick, steps=20)
    full, half = (invert(tiny, targets[:4], config=config, half=half) for half in (False, True))
    assert abs(full.cosine.mean() - half.cosine.mean()) < 0.05
    again = invert(tiny, targets[:4], config=config, half=True)
    np.testing.assert_array_equal(half.images, again.images)
