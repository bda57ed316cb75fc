"""Non-saturating logistic losses (arXiv 1406.2661) and the R1 penalty (arXiv 1801.04406, Eq. 9).

Logits are [N, K]: losses are averaged over images and summed over K scores, each of a judge of its own.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Return -log sigmoid D(G(z)), averaged over images."""
    return F.softplus(-fake_logits).mean(dim=0).sum()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return -log sigmoid D(x) - log(1 - sigmoid D(G(z))), averaged."""
    return (F.softplus(-real_logits) + F.softplus(fake_logits)).mean(dim=0).sum()


def r1_penalty(real_images: Tensor, real_logits: Tensor) -> Tensor:
    """Return half the squared gradient norm of D at the real images, averaged over the batch.

    ``real_images`` must require a gradient and have led to ``real_logits``.
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), real_images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2
