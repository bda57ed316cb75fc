"""The mean of the last images of an optimisation: what the random views of single steps added is averaged away."""

import torch
from torch import Tensor


class ImageAverage:
    """An exponential moving average of images, without the bias of its first values."""

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._sum: Tensor | None = None
        self._weight = 0.0

    @torch.no_grad()
    def update(self, images: Tensor) -> None:
        """Take in the images after a step."""
        share = 1 - self._decay if self._decay < 1 else 1.0  # with decay 1 all steps weigh the same
        fresh = images.detach() * share
        self._sum = fresh if self._sum is None else self._sum.mul_(self._decay).add_(fresh)
        self._weight = self._weight * self._decay + share

    def images(self) -> Tensor | None:
        """Return the average; None before the first update."""
        return None if self._sum is None else self._sum / self._weight
