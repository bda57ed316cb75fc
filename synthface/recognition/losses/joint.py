"""A classification loss with a further term on the same embeddings."""

import torch
from torch import Tensor

from synthface.recognition.losses.recognition_loss import RecognitionLoss, in_full_precision
from synthface.recognition.losses.softmax_head import SoftmaxHead


class JointLoss(RecognitionLoss):
    """L = L_classification + weight * term; a subclass says what the term is.

    Args:
        base: the classification loss.
        weight: of the term.
    """

    def __init__(self, base: SoftmaxHead, weight: float) -> None:
        super().__init__()
        self.base = base
        self.weight = weight

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of raw embeddings [B, D] with labels [B]."""
        with torch.autocast(x.device.type, enabled=False):  # which would round the products of distances
            term = self.term(in_full_precision(x), y)
        return self.base(x, y) + self.weight * term

    def term(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the further term, of embeddings in float32 at least."""
        raise NotImplementedError

    def logits(self, x: Tensor) -> Tensor:
        """Return the classification loss's logits [B, C] without margin."""
        return self.base.logits(x)
