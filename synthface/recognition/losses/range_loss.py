"""Range loss: the worst pairs within a class come together, the two nearest class means apart."""

import torch
import torch.nn.functional as F
from torch import Tensor

from synthface.core.errors import ConfigError
from synthface.recognition.losses.joint import JointLoss
from synthface.recognition.losses.pairs import squared_distances
from synthface.recognition.losses.recognition_loss import TINY
from synthface.recognition.losses.softmax_head import SoftmaxHead


class RangeLoss(JointLoss):
    """L_classification + lam (alpha L_intra + beta L_inter) on raw embeddings (arXiv 1611.08976).

    L_intra = sum over classes of the harmonic mean k / sum_j (1 / D_j) of the k greatest squared distances within the
    class; L_inter = max(0, margin - least squared distance of two class means in the batch).

    Args:
        base: the classification loss.
        lam: weight of both terms.
        alpha: weight of L_intra.
        beta: weight of L_inter.
        margin: in squared distance; the published one belongs to long raw embeddings.
        k: how many pairs of a class.
    """

    needs_pairs = True

    def __init__(
        self,
        base: SoftmaxHead,
        *,
        lam: float = 1.0,
        alpha: float = 5e-5,
        beta: float = 1e-4,
        margin: float = 2e4,
        k: int = 2,
    ) -> None:
        super().__init__(base, lam)
        if min(lam, alpha, beta) < 0 or margin <= 0 or k < 1:
            raise ConfigError("lam, alpha and beta are at least 0, margin is positive and k at least 1")
        self.alpha, self.beta, self.margin, self.k = alpha, beta, margin, k

    def term(self, x: Tensor, y: Tensor) -> Tensor:
        """Return alpha L_intra + beta L_inter."""
        return self.alpha * self.intra(x, y) + self.beta * self.inter(x, y)

    def intra(self, x: Tensor, y: Tensor) -> Tensor:
        """Return L_intra; a class with one image adds 0, one with fewer than k pairs takes those it has."""
        total = x.sum() * 0
        for label in y.unique():
            own = x[y == label]
            rows, columns = torch.triu_indices(len(own), len(own), offset=1)
            if len(rows):
                worst = squared_distances(own)[rows, columns].topk(min(self.k, len(rows))).values + TINY
                total = total + len(worst) / (1 / worst).sum()
        return total

    def inter(self, x: Tensor, y: Tensor) -> Tensor:
        """Return L_inter; 0 where the batch shows one class."""
        means = torch.stack([x[y == label].mean(dim=0) for label in y.unique()])
        if len(means) < 2:
            return x.sum() * 0
        rows, columns = torch.triu_indices(len(means), len(means), offset=1)
        return F.relu(self.margin - squared_distances(means)[rows, columns].min())
