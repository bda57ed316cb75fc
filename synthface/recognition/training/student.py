"""What learns: a network with its losses on labels and on a teacher's embeddings."""

import contextlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthface.recognition.losses import RecognitionLoss
from synthface.recognition.networks.build import Network


class Student(nn.Module):
    """Network and losses in one module, so that every process computes its share in one forward pass.

    Args:
        network: what is trained.
        head: the classification loss, or None.
        distil_weight: weight of 1 - cos(student, teacher), which is the same whatever the size of an embedding: SFace's
            mean squared difference of D unit numbers is 2 / D of it, so 10000 of that at D = 512 are 39.06 here.
        half: compute the network in bfloat16 where autocast does; weights, losses and the optimiser stay in float32.
    """

    def __init__(
        self, network: Network, head: RecognitionLoss | None, distil_weight: float = 1.0, *, half: bool = False
    ) -> None:
        super().__init__()
        self.network = network
        self.head = head
        self.distil_weight = distil_weight
        self.in_half = half  # ``half`` is a method of every module

    def forward(
        self, images: Tensor, labels: Tensor, teacher: Tensor | None, attributes: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss and its two parts (classification, 1 - cos to the teacher), 0 where one is not used."""
        precision = torch.autocast(images.device.type, torch.bfloat16) if self.in_half else contextlib.nullcontext()
        with precision:
            x = self.network(images * self.network.config.pixel_scale)
        x = x.float()
        zero = x.new_zeros(())
        known = () if attributes is None else (attributes,)
        classification = zero if self.head is None else self.head(x, labels, *known)
        transfer = zero if teacher is None else 1 - F.cosine_similarity(x, teacher).mean()
        return classification + self.distil_weight * transfer, classification, transfer
