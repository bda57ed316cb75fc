"""A penalty on classes that are not round: our own stand-in for IntraLoss, whose formula we could not read."""

import torch
from torch import Tensor

from synthface.core.errors import ConfigError
from synthface.recognition.losses.joint import JointLoss
from synthface.recognition.losses.recognition_loss import unit
from synthface.recognition.losses.softmax_head import SoftmaxHead


class AnisotropyPenalty(JointLoss):
    """L_classification + weight P, P = mean max(0, r_i - 1) (1 - cos theta_i).

    theta_i is the angle to the class centre (centres get no gradient from P) and r_i its ratio to the mean angle of
    the class's images in the batch, without gradient; so only images farther out than their class's mean are pulled,
    along the shortest way. The aim is that of IntraLoss (arXiv 2107.03352), the formula is ours.

    Args:
        base: the classification loss.
        weight: of P.
    """

    needs_pairs = True

    def __init__(self, base: SoftmaxHead, *, weight: float = 1.0) -> None:
        super().__init__(base, weight)
        if weight < 0:
            raise ConfigError(f"a weight of {weight} is below 0")

    def term(self, x: Tensor, y: Tensor) -> Tensor:
        """Return P; images alone of their class in the batch add 0."""
        u = unit(x)
        z = (u * unit(self.base.weight.detach().to(u.dtype))[y]).sum(dim=1).clamp(-1, 1)
        with torch.no_grad():
            theta = torch.acos(z)
            same = (y[:, None] == y[None, :]).to(theta.dtype)
            mean = same @ theta / same.sum(dim=1)
            outlying = torch.where(mean > 0, theta / mean.clamp_min(1e-12) - 1, 0.0).clamp_min(0)
        return (outlying * (1 - z)).mean()
