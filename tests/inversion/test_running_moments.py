"""Running statistics of small batches."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inversion import InversionConfig, invert
from inversion.bn_prior import BatchNormStatistics
from inversion.running_moments import RunningMoments
from synthface.core.errors import ConfigError


def test_average_and_its_gradient_follow_the_definition() -> None:
    running = RunningMoments(0.25, [nn.BatchNorm2d(2)])
    generator = torch.Generator().manual_seed(0)
    expected = None
    for _ in range(2):
        running.restart()
        for step in range(4):
            mean, variance = torch.rand(2, 2, generator=generator).unbind()
            mean.requires_grad_()
            blended = running.blend(0, (mean, variance))
            expected = mean.detach() if step == 0 else 0.75 * expected + 0.25 * mean.detach()
            torch.testing.assert_close(blended[0].detach(), expected)
            blended[0].sum().backward()
            running.remember()
            torch.testing.assert_close(mean.grad, torch.full((2,), 1.0 if step == 0 else 0.25))


def test_two_half_batches_come_near_to_the_whole(tiny: nn.Module, naturals: Tensor) -> None:
    halves = naturals.chunk(2)
    with torch.no_grad(), BatchNormStatistics(tiny) as alone, BatchNormStatistics(tiny, momentum=0.5) as both:
        tiny(naturals)
        whole = alone.take()[0][1][0]
        means = []
        for half in halves:
            tiny(half)
            means.append(alone.take()[0][1][0])
            both.distance("kl")
            both.begin_step()
        average = both._running.blend(0, (means[1], means[1]))[0]
    np.testing.assert_allclose((means[0] + means[1]) / 2, whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(0.5 * (whole + means[1]), average, rtol=1e-4, atol=1e-5)


def test_groups_stay_independent(tiny: nn.Module, targets: np.ndarray, quick: InversionConfig) -> None:
    config = replace(quick, statistics_momentum=0.3)
    whole = invert(tiny, targets, config=config).images
    assert not np.array_equal(whole, invert(tiny, targets, config=quick).images)
    elsewhere = targets.copy()
    elsewhere[0] = -elsewhere[0]
    assert np.array_equal(whole[2:], invert(tiny, elsewhere, config=config).images[2:])


@pytest.mark.parametrize("momentum", [0.0, -0.5, 1.5, float("nan")])
def test_impossible_momentum_is_refused(momentum: float) -> None:
    with pytest.raises(ConfigError, match="statistics_momentum"):
        InversionConfig(statistics_momentum=momentum)
