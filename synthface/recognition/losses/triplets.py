"""Triplet losses: semi-hard (FaceNet) and batch-hard (Hermans et al.)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from synthface.core.errors import ConfigError
from synthface.recognition.losses.pairs import distances, mated_pairs, mean_or_zero, squared_distances
from synthface.recognition.losses.recognition_loss import RecognitionLoss, in_full_precision, unit


class SemiHardTriplets(RecognitionLoss):
    """max(0, d2(a, p) - d2(a, n) + margin) over all pairs (a, p) and their semi-hard n (FaceNet, arXiv 1503.03832).

    d2 is the squared distance of unit embeddings; n is semi-hard where d2(a, p) < d2(a, n) < d2(a, p) + margin.

    Args:
        margin: in squared distance.
        reduction: ``mean`` over the triplets, or their ``sum`` as in the paper, which grows with the batch.
    """

    needs_pairs = True

    def __init__(self, *, margin: float = 0.2, reduction: Literal["mean", "sum"] = "mean") -> None:
        super().__init__()
        if margin <= 0:
            raise ConfigError(f"a triplet margin of {margin} is not positive")
        self.margin, self.reduction = margin, reduction

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of raw embeddings [B, D] with labels [B]; 0 where no negative is semi-hard."""
        with torch.autocast(x.device.type, enabled=False):
            d2 = squared_distances(unit(in_full_precision(x)))
            anchor, positive = mated_pairs(y).nonzero(as_tuple=True)
            excess = d2[anchor, positive, None] - d2[anchor] + self.margin  # [pairs, B]
            semi_hard = (y[anchor, None] != y) & (excess > 0) & (excess < self.margin)
            chosen = excess[semi_hard]
            return chosen.sum() + x.sum() * 0 if self.reduction == "sum" else mean_or_zero(chosen, x)


class BatchHardTriplets(RecognitionLoss):
    """Each image against its farthest mate and its nearest stranger (arXiv 1703.07737).

    On raw embeddings and plain distances: softplus(d_ap - d_an), or max(0, d_ap - d_an + margin). A loss that stays
    at log 2 (at the margin) means collapse to one point, where the gradient is exactly 0.

    Args:
        margin: None for the soft margin.
    """

    needs_pairs = True

    def __init__(self, *, margin: float | None = None) -> None:
        super().__init__()
        if margin is not None and margin <= 0:
            raise ConfigError(f"a triplet margin of {margin} is not positive; leave it out for the soft margin")
        self.margin = margin

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean over the anchors [B] that have a mate and a stranger in the batch."""
        with torch.autocast(x.device.type, enabled=False):
            d = distances(in_full_precision(x))
            mated, strange = mated_pairs(y), y[:, None] != y[None, :]
            usable = mated.any(dim=1) & strange.any(dim=1)
            farthest = d.masked_fill(~mated, -torch.inf).amax(dim=1)[usable]
            nearest = d.masked_fill(~strange, torch.inf).amin(dim=1)[usable]
            gap = farthest - nearest
            return mean_or_zero(F.softplus(gap) if self.margin is None else F.relu(gap + self.margin), x)
