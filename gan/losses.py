"""Non-saturating logistic losses (arXiv 1406.2661) and the R1 penalty (arXiv 1801.04406, Eq. 9)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Return -log sigmoid D(G(z)), averaged."""
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return -log sigmoid D(x) - log(1 - sigmoid D(G(z))), averaged."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def r1_penalty(real_images: Tensor, real_logits: Tensor) -> Tensor:
    """Return half the squared gradient norm of D at the real images, averaged over the batch.

    ``real_images`` must require a gradient and have led to ``real_logits``.
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), real_images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2
