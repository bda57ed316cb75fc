"""Losses that say how far embeddings are from their targets."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from inversion.config import InversionConfig
from inversion.unit_rows import unit_rows
from synthface.core.errors import ConfigError, DataError

IdentityLoss = Callable[[Tensor, Tensor], Tensor]  # raw embeddings [N, D] and targets [N, D] to losses [N]


def identity_loss(
    config: InversionConfig, targets: NDArray[np.floating], centres: NDArray[np.floating] | None, device: torch.device
) -> IdentityLoss | None:
    """Return the loss that the config names; None for the cosine, which is computed anyway.

    ``feature_l2`` is the squared distance of raw embeddings to raw targets (ArcFace, arXiv 1801.07698v4, section 4.5).
    ``margin`` is the ArcFace loss (same, Eq. 3) on the class whose centre the target is; it takes unit targets.

    Args:
        config: the form, margin and scale.
        targets: [N, D] as given by the user.
        centres: [C, D] rows of the recogniser's classification head.
        device: of the embeddings.

    Raises:
        ConfigError: ``feature_l2`` with targets of norm 1, or ``margin`` without centres.
        DataError: ``margin`` with a target that is no centre.
    """
    if config.identity_form == "cosine":
        return None
    if config.identity_form == "feature_l2":
        norms = np.linalg.norm(np.asarray(targets, np.float64), axis=1)
        if np.allclose(norms, 1, atol=1e-3):
            raise ConfigError("identity_form feature_l2 needs raw embeddings; these are scaled to norm 1: take cosine")
        return _feature_l2
    if centres is None:
        raise ConfigError("identity_form margin needs the class centres of the recogniser's head")
    unit = unit_rows(centres)
    nearest = (unit_rows(targets) @ unit.T).max(axis=1)
    if (nearest < 0.999).any():
        raise DataError(
            f"identity_form margin: target {int(nearest.argmin())} is no row of the class centres; "
            "give centres as targets"
        )
    return _margin(torch.from_numpy(unit).to(device), config.margin, config.margin_scale)


def _feature_l2(embeddings: Tensor, targets: Tensor) -> Tensor:
    return (embeddings - targets).square().sum(1)


def _margin(centres: Tensor, margin: float, scale: float) -> IdentityLoss:
    def losses(embeddings: Tensor, targets: Tensor) -> Tensor:
        classes = (targets @ centres.T).argmax(1)
        cosines = F.normalize(embeddings) @ centres.T
        own = cosines.gather(1, classes[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
        logits = cosines.scatter(1, classes[:, None], (own.acos() + margin).cos())
        return F.cross_entropy(scale * logits, classes, reduction="none")

    return losses
