"""What every loss of this package is: a module from raw embeddings and class labels to one number."""

from typing import ClassVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

TINY = 1e-12  # a zero embedding has no direction; its cosine is taken as 0


class RecognitionLoss(nn.Module):
    """A loss with all it learns and counts in its ``state_dict``, so that a training resumes exactly.

    Attributes:
        needs_pairs: whether a batch must hold several images of a class for the loss to mean anything.
    """

    needs_pairs: ClassVar[bool] = False

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of raw embeddings [B, D] with class labels [B] (int64)."""
        raise NotImplementedError


def in_full_precision(x: Tensor) -> Tensor:
    """Return x in float32 at least: at half precision an angle is off by up to 12 % of a margin."""
    return x if x.dtype == torch.float64 else x.float()


def unit(x: Tensor) -> Tensor:
    """Return vectors [..., D] at length 1, and zero vectors as they are."""
    return F.normalize(x, dim=-1, eps=TINY)


def process_count() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_across_processes(x: Tensor) -> Tensor:
    """Return the sum of a tensor without gradient over all processes; the tensor itself where there is one."""
    if not (dist.is_available() and dist.is_initialized()):
        return x
    total = x.clone()
    dist.all_reduce(total)
    return total


def gathered_rows(x: Tensor) -> Tensor:
    """Return labels, or embeddings without their gradient, of all processes; each holds as many."""
    if not (dist.is_available() and dist.is_initialized()):
        return x
    x = x.contiguous()
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x)
    return torch.cat(parts)
