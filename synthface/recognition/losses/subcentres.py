"""Purification with sub-centre ArcFace: which training images lie far from what their class mostly looks like."""

import math

import torch
from torch import Tensor

from synthface.core.errors import ConfigError
from synthface.recognition.losses.recognition_loss import unit


def dominant_subcentres(x: Tensor, y: Tensor, centres: Tensor) -> Tensor:
    """Return [C] the sub-centre that most images of each class are nearest to (the first of equals; 0 without images).

    Args:
        x: [N, D] embeddings.
        y: [N] int64 classes.
        centres: [C, K, D] sub-centres.
    """
    nearest = torch.einsum("nd,nkd->nk", unit(x), unit(centres)[y]).argmax(dim=1)
    votes = torch.zeros(centres.shape[:2], dtype=torch.int64, device=y.device)
    votes.index_put_((y, nearest), torch.ones_like(y), accumulate=True)
    return votes.argmax(dim=1)


def images_to_drop(x: Tensor, y: Tensor, centres: Tensor, *, degrees: float = 75.0) -> Tensor:
    """Return [N] bool: the images more than ``degrees`` away from their class's dominant sub-centre.

    Source: sub-centre ArcFace (ECCV 2020), which then trains anew with one centre a class on what is left.

    Args:
        x: [N, D] embeddings.
        y: [N] int64 classes.
        centres: [C, K, D] sub-centres.
        degrees: the largest angle that is kept.
    """
    if not 0 < degrees < 180:
        raise ConfigError(f"an angle of {degrees} degrees is not between 0 and 180")
    chosen = unit(centres)[y, dominant_subcentres(x, y, centres)[y]]
    return (unit(x) * chosen).sum(dim=1) < math.cos(math.radians(degrees))
