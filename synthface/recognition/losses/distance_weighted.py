"""Margin loss on negatives drawn evenly over their distances ("Sampling matters", arXiv 1706.07567)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthface.core.errors import ConfigError
from synthface.core.seeds import derive_seed
from synthface.recognition.losses.pairs import distances, mated_pairs
from synthface.recognition.losses.recognition_loss import RecognitionLoss, in_full_precision, unit


def negative_probabilities(d: Tensor, y: Tensor, dim: int, *, cutoff: float, limit: float) -> Tensor:
    """Return [B, B] probabilities with which each anchor (row) draws its negatives; rows without any are 0.

    Proportional to 1 / q(d), where q(d) = d^(D-2) (1 - d^2/4)^((D-3)/2) is the density of distances on the sphere,
    for other classes nearer than ``limit``; distances below ``cutoff`` count as that. In logarithms and row by row: at
    D = 512 1 / q spans hundreds of orders of magnitude, and a shift shared by all rows would leave only the row of
    the closest pair.

    Args:
        d: [B, B] distances of unit vectors.
        y: [B] labels.
        dim: D.
        cutoff: least distance told apart.
        limit: greatest distance of a negative worth drawing.
    """
    near = d.clamp(cutoff, 2 - 1e-6)
    log_weight = -(dim - 2) * near.log() - (dim - 3) / 2 * torch.log1p(-near.square() / 4)
    eligible = (y[:, None] != y[None, :]) & (d < limit)
    log_weight = log_weight.masked_fill(~eligible, -torch.inf)
    some = eligible.any(dim=1, keepdim=True)
    return torch.where(some, torch.softmax(torch.where(some, log_weight, 0.0), dim=1), 0.0)


class DistanceWeightedMargin(RecognitionLoss):
    """max(0, alpha + d_ap - beta) for each mated pair and max(0, alpha + beta - d_an) for a drawn negative of it.

    The mean is taken over the terms that are not 0. Anchors without an eligible negative are left out. Negatives
    depend on (seed, step), and the step is in the state.

    Args:
        alpha: margin.
        beta: first value of the learnt boundary.
        cutoff: least distance told apart in drawing.
        limit: greatest distance of a negative.
        seed: of the draws.
    """

    needs_pairs = True
    step: Tensor

    def __init__(
        self, *, alpha: float = 0.2, beta: float = 1.2, cutoff: float = 0.5, limit: float = 1.4, seed: int = 0
    ) -> None:
        super().__init__()
        if alpha <= 0 or not 0 < cutoff < limit <= 2:
            raise ConfigError(f"alpha {alpha}, cutoff {cutoff}, limit {limit}: give alpha > 0, 0 < cutoff < limit <= 2")
        self.alpha, self.cutoff, self.limit, self._seed = alpha, cutoff, limit, seed
        self.beta = nn.Parameter(torch.tensor(float(beta)))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of raw embeddings [B, D] with labels [B]."""
        if self.training:
            self.step += 1
        with torch.autocast(x.device.type, enabled=False):
            d = distances(unit(in_full_precision(x)))
            return self.loss_of_triplets(d, *self.mine(d.detach(), y, x.shape[1]))

    @torch.no_grad()
    def mine(self, d: Tensor, y: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return anchors, positives and drawn negatives: one negative for each mated pair whose anchor has any."""
        probabilities = negative_probabilities(d, y, dim, cutoff=self.cutoff, limit=self.limit)
        anchor, positive = (mated_pairs(y) & (probabilities.sum(dim=1) > 0)[:, None]).nonzero(as_tuple=True)
        if not len(anchor):
            return anchor, positive, anchor
        generator = torch.Generator().manual_seed(derive_seed(self._seed, "negatives", int(self.step)))
        drawn = torch.multinomial(probabilities[anchor].cpu(), 1, generator=generator)[:, 0]
        return anchor, positive, drawn.to(y.device)

    def loss_of_triplets(self, d: Tensor, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Return the margin loss of given triplets of a distance matrix."""
        too_far = F.relu(self.alpha + d[anchor, positive] - self.beta)
        too_near = F.relu(self.alpha + self.beta - d[anchor, negative])
        active = (too_far > 0).sum() + (too_near > 0).sum()
        return (too_far.sum() + too_near.sum() + d.sum() * 0) / active.clamp_min(1)
