"""Identity, triplet and attributes together: the normalised loss for angles, the triplet for lengths."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthface.core.errors import ConfigError
from synthface.recognition.losses.joint import JointLoss
from synthface.recognition.losses.recognition_loss import in_full_precision, process_count, sum_across_processes
from synthface.recognition.losses.softmax_head import SoftmaxHead
from synthface.recognition.losses.triplets import BatchHardTriplets

MISSING = -1  # an attribute that nobody labelled
_NOTHING = 1e-6  # less than one image in any number of processes: what is divided by it is 0


class IdentityTripletLoss(JointLoss):
    """L_classification + lam_t L_batch-hard + lam_a sum_k CE(linear_k(x), attribute_k) (arXiv 2212.14107).

    A normalised classification loss has no gradient along x; the triplets on raw embeddings supply one. The paper
    finds no margin best beside them. Its weights could not be read; 1 and 1 are ours.

    Args:
        base: the classification loss.
        embedding_dim: numbers in an embedding.
        lam_t: weight of the triplets.
        lam_a: weight of the attributes.
        triplet_margin: of the triplets; None for the soft margin.
        attribute_sizes: how many values each attribute has.
        seed: of the attributes' linear maps.
    """

    needs_pairs = True

    def __init__(
        self,
        base: SoftmaxHead,
        embedding_dim: int,
        *,
        lam_t: float = 1.0,
        lam_a: float = 1.0,
        triplet_margin: float | None = None,
        attribute_sizes: Sequence[int] = (),
        seed: int = 0,
    ) -> None:
        super().__init__(base, lam_t)
        if lam_t < 0 or lam_a < 0 or any(size < 2 for size in attribute_sizes):
            raise ConfigError(
                f"lam_t {lam_t}, lam_a {lam_a} are at least 0 and attribute sizes {attribute_sizes} at least 2"
            )
        self.lam_a = lam_a
        self.triplets = BatchHardTriplets(margin=triplet_margin)
        self.attribute_heads = nn.ModuleList(nn.Linear(embedding_dim, size) for size in attribute_sizes)
        generator = torch.Generator().manual_seed(seed)
        for head in self.attribute_heads:
            assert isinstance(head, nn.Linear)
            nn.init.normal_(head.weight, std=0.01, generator=generator)
            nn.init.zeros_(head.bias)

    def forward(self, x: Tensor, y: Tensor, attributes: Tensor | None = None) -> Tensor:
        """Return the loss; ``attributes`` is [B, A] int64 with ``MISSING`` where unlabelled, or None."""
        loss = super().forward(x, y)
        if attributes is not None:
            loss = loss + self.lam_a * self.attribute_term(x, attributes)
        return loss

    def term(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the batch-hard triplets' loss."""
        return self.triplets(x, y)

    def attribute_term(self, x: Tensor, attributes: Tensor) -> Tensor:
        """Return the sum over attributes of the mean cross entropy of the labelled images.

        The mean is over those of all processes, each of which has its part of them; so the processes' mean is theirs.
        """
        with torch.autocast(x.device.type, enabled=False):
            x = in_full_precision(x)
            counts = sum_across_processes((attributes != MISSING).sum(dim=0)) / process_count()
            total = x.sum() * 0
            for k, head in enumerate(self.attribute_heads):
                losses = F.cross_entropy(head(x), attributes[:, k], ignore_index=MISSING, reduction="sum")
                total = total + losses / counts[k].clamp_min(_NOTHING)
            return total
