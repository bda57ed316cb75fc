"""The contrastive loss of DeepID2: mates together, strangers at least a margin apart."""

import torch
import torch.nn.functional as F
from torch import Tensor

from synthface.core.errors import ConfigError
from synthface.recognition.losses.joint import JointLoss
from synthface.recognition.losses.pairs import distances, mated_pairs, squared_distances
from synthface.recognition.losses.recognition_loss import gathered_rows
from synthface.recognition.losses.softmax_head import SoftmaxHead


def best_threshold(mated: Tensor, non_mated: Tensor) -> Tensor:
    """Return the distance threshold with the least sum of false match and false non-match rate.

    Args:
        mated: [N] distances of mated pairs.
        non_mated: [M] distances of non-mated pairs.
    """
    mated, non_mated = mated.sort().values, non_mated.sort().values
    candidates = torch.cat([mated, non_mated]).sort().values
    false_non_matches = 1 - torch.searchsorted(mated, candidates, right=True) / len(mated)
    false_matches = torch.searchsorted(non_mated, candidates, right=True) / len(non_mated)
    best = (false_non_matches + false_matches).argmin()
    # Between two seen distances any threshold errs alike; the middle is fairest to pairs that were not seen.
    return (candidates[best] + candidates[min(int(best) + 1, len(candidates) - 1)]) / 2


class ContrastiveLoss(JointLoss):
    """L_classification + lam V, V the mean over the batch's pairs on raw embeddings (DeepID2, arXiv 1406.4773).

    Mated: 1/2 d^2; non-mated: 1/2 max(0, m - d)^2. m is not learnt by gradient. The paper resets it now and then to the
    distance that verifies held-out pairs best; here the pairs are those of the batch before it is learnt from.

    Args:
        base: the classification loss.
        lam: weight of the pairs.
        margin: m; None resets it to the best threshold at the first step and after every ``reset_every``.
        reset_every: steps between resets.
    """

    needs_pairs = True
    margin: Tensor
    step: Tensor

    def __init__(
        self, base: SoftmaxHead, *, lam: float = 0.05, margin: float | None = None, reset_every: int = 100
    ) -> None:
        super().__init__(base, lam)
        if lam < 0 or (margin is not None and margin <= 0) or reset_every < 1:
            raise ConfigError(f"lam {lam} at least 0, margin {margin} positive, reset_every {reset_every} at least 1")
        self.resets, self.reset_every = margin is None, reset_every
        self.register_buffer("margin", torch.tensor(1.0 if margin is None else float(margin)))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def term(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean over the unordered pairs of the batch."""
        if self.training:
            if self.resets and int(self.step) % self.reset_every == 0:
                self._reset_margin(gathered_rows(x.detach()), gathered_rows(y))
            self.step += 1
        above, mated = _pairs(y)
        d = distances(x)[above]
        non_mated = F.relu(self.margin.to(d.dtype) - d).square()
        return torch.where(mated, squared_distances(x)[above], non_mated).sum() / max(1, len(d)) / 2

    def _reset_margin(self, x: Tensor, y: Tensor) -> None:
        """Set the margin by the pairs of the whole batch, those between processes too: all of them get the same."""
        above, mated = _pairs(y)
        if mated.any() and not mated.all():
            d = distances(x)[above]
            self.margin.copy_(best_threshold(d[mated], d[~mated]))


def _pairs(y: Tensor) -> tuple[Tensor, Tensor]:
    """Return which of all [B, B] ordered pairs to take so that each counts once, and which of those taken are mated."""
    above = torch.triu(torch.ones(len(y), len(y), dtype=torch.bool, device=y.device), diagonal=1)
    return above, mated_pairs(y)[above]
