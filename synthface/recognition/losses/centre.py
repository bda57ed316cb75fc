"""Centre loss: embeddings are drawn to their class's moving centre."""

import torch
from torch import Tensor

from synthface.core.errors import ConfigError
from synthface.recognition.losses.joint import JointLoss
from synthface.recognition.losses.recognition_loss import sum_across_processes
from synthface.recognition.losses.softmax_head import SoftmaxHead


class CentreLoss(JointLoss):
    """L_classification + lam/2 mean ||x_i - c_{y_i}||^2 on raw embeddings (Wen et al., ECCV 2016).

    The centres are a buffer, not parameters: after each training step
    c_j -= alpha sum_{i: y_i = j} (c_j - x_i) / (1 + n_j), over the images of all processes; a class without images in
    the batch keeps its centre.

    Args:
        base: the classification loss.
        embedding_dim: numbers in an embedding.
        lam: weight of the centres.
        alpha: how fast they move.
    """

    centres: Tensor

    def __init__(self, base: SoftmaxHead, embedding_dim: int, *, lam: float = 0.003, alpha: float = 0.5) -> None:
        super().__init__(base, lam)
        if lam < 0 or not 0 <= alpha <= 1:
            raise ConfigError(f"lam {lam} is at least 0 and alpha {alpha} in [0, 1]")
        self.alpha = alpha
        self.register_buffer("centres", torch.zeros(len(base.weight), embedding_dim))

    def term(self, x: Tensor, y: Tensor) -> Tensor:
        """Return half the mean squared distance to the centres; moves them in training mode."""
        centres = self.centres[y].to(x.dtype)  # a copy: what is learnt from is the centre before the move
        if self.training:
            self._move(x.detach(), y)
        return (x - centres).square().sum(dim=1).mean() / 2

    @torch.no_grad()
    def _move(self, x: Tensor, y: Tensor) -> None:
        centres = self.centres
        pull = torch.zeros_like(centres).index_add_(0, y, (centres[y] - x).to(centres.dtype))
        count = torch.zeros(len(centres), dtype=centres.dtype, device=x.device).index_add_(
            0, y, torch.ones(len(y), dtype=centres.dtype, device=x.device)
        )
        pull, count = sum_across_processes(pull), sum_across_processes(count)
        centres -= self.alpha * pull / (1 + count)[:, None]
