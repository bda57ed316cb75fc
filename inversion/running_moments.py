"""Moments that remember earlier batches, for batches too small to show a population."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from inversion.fast_layers import Moments

if TYPE_CHECKING:
    from inversion.bn_prior import LayerReference


class RunningMoments:
    """A moving average of each layer's moments: (1 - m) x what was, without gradient, + m x the batch.

    What earlier batches add is the variety of their views and of the way there; the same few people are in all of
    them, so that it steadies the statistics of a small group and does not replace ``groups``' companions.

    The averages change in ``remember`` alone, between steps: a backward pass may read them again, and a compiled step
    must find the same tensors each time.

    Args:
        momentum: m, above 0 and below 1.
        layers: for their numbers of channels, and their device.
    """

    def __init__(self, momentum: float, layers: Sequence["LayerReference"]) -> None:
        self._share = 1 - momentum
        means = [layer.running_mean for layer in layers if layer.running_mean is not None]
        self._averages = [(torch.zeros_like(mean), torch.zeros_like(mean)) for mean in means]
        self._kept = [torch.zeros_like(mean[:1]) for mean in means]  # 0 until there is something to keep
        self._latest: list[tuple[int, Moments]] = []

    def restart(self) -> None:
        """Forget every batch; the next one counts alone."""
        self._latest.clear()
        for kept in self._kept:
            kept.zero_()

    def blend(self, index: int, moments: Moments) -> Moments:
        """Return a layer's moments averaged with those remembered; the gradient is the batch's share's."""
        kept, (past_mean, past_variance) = self._kept[index], self._averages[index]
        mean, variance = moments
        mean = (1 - kept) * mean + kept * past_mean
        variance = (1 - kept) * variance + kept * past_variance
        self._latest.append((index, (mean.detach(), variance.detach())))
        return mean, variance

    def remember(self) -> None:
        """Let the averages of the last step be what the next one starts from."""
        for index, moments in self._latest:
            for average, value in zip(self._averages[index], moments, strict=True):
                average.copy_(value)
            self._kept[index].fill_(self._share)
        self._latest.clear()
