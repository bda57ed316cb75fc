"""Purification with sub-centre ArcFace: which training images lie far from what their class mostly looks like."""

import math

import torch
from torch import Tensor

from synthface.core.errors import ConfigError
from synthface.recognition.losses.recognition_loss import unit


def subcentre_cosines(x: Tensor, y: Tensor, centres: Tensor) -> Tensor:
    """Return [N, K] the cosine of each embedding to each sub-centre of its own class.

    Args:
        x: [N, D] embeddings.
        y: [N] int64 classes.
        centres: [C, K, D] sub-centres.
    """
    return torch.einsum("nd,nkd->nk", unit(x), unit(centres[y]))


def dominant_subcentres(cosines: Tensor, y: Tensor, n_classes: int) -> Tensor:
    """Return [C] the sub-centre that most images of each class are nearest to (the first of equals; 0 without images).

    Args:
        cosines: [N, K] of ``subcentre_cosines``.
        y: [N] int64 classes.
        n_classes: C.
    """
    votes = torch.zeros(n_classes, cosines.shape[1], dtype=torch.int64, device=y.device)
    votes.index_put_((y, cosines.argmax(dim=1)), torch.ones_like(y), accumulate=True)
    return votes.argmax(dim=1)


def images_to_drop(cosines: Tensor, y: Tensor, n_classes: int, *, degrees: float = 75.0) -> Tensor:
    """Return [N] bool: the images more than ``degrees`` away from their class's dominant sub-centre.

    Source: sub-centre ArcFace (ECCV 2020), which then trains anew with one centre a class on what is left.

    Args:
        cosines: [N, K] of ``subcentre_cosines``.
        y: [N] int64 classes.
        n_classes: C.
        degrees: the largest angle that is kept.
    """
    if not 0 < degrees < 180:
        raise ConfigError(f"an angle of {degrees} degrees is not between 0 and 180")
    to_dominant = cosines.gather(1, dominant_subcentres(cosines, y, n_classes)[y][:, None])[:, 0]
    return to_dominant < math.cos(math.radians(degrees))
