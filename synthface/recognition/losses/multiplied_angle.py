"""The multiplied angle of L-Softmax and SphereFace, with its annealing."""

import math

import torch
from torch import Tensor, nn

from synthface.core.errors import ConfigError

_COSINE_OF_MULTIPLE = {  # Chebyshev polynomials: no acos in the gradient
    1: lambda z: z,
    2: lambda z: 2 * z**2 - 1,
    3: lambda z: 4 * z**3 - 3 * z,
    4: lambda z: 8 * z**4 - 8 * z**2 + 1,
}


def psi(z: Tensor, m: int) -> Tensor:
    """Return (-1)^k cos(m theta) - 2k with k = floor(m theta / pi): continuous and falling from 1 to 1 - 2m.

    Source: L-Softmax, arXiv 1612.02295.
    """
    with torch.no_grad():
        k = torch.floor(m * torch.acos(z.clamp(-1, 1)) / math.pi).clamp(0, m - 1)
    return (1 - 2 * (k % 2)) * _COSINE_OF_MULTIPLE[m](z) - 2 * k


class AnnealedAngle(nn.Module):
    """phi = (lam z + psi) / (1 + lam), lam = max(lam_min, base (1 + gamma t)^-power) at training step t = 1, 2, ...

    Without annealing (base 0) lam is 0, whatever lam_min.
    The step is a buffer, so that a resumed training goes on at its lambda. With the official SphereFace settings
    lambda falls from 893 to its floor of 5 at step 1659 and never reaches 0.

    Args:
        margin: m, from 1 to 4.
        lam_base: lambda before the first step; 0 for no annealing.
        lam_gamma: how fast lambda falls.
        lam_power: exponent of the fall.
        lam_min: floor of lambda.
    """

    step: Tensor

    def __init__(self, margin: int, *, lam_base: float, lam_gamma: float, lam_power: float, lam_min: float) -> None:
        super().__init__()
        if margin not in _COSINE_OF_MULTIPLE:
            raise ConfigError(f"a multiplied-angle margin of {margin} is not 1, 2, 3 or 4")
        if min(lam_base, lam_gamma, lam_power, lam_min) < 0:
            raise ConfigError("lam_base, lam_gamma, lam_power and lam_min are at least 0")
        self.margin, self.lam_base, self.lam_gamma = margin, lam_base, lam_gamma
        self.lam_power, self.lam_min = lam_power, lam_min
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, z: Tensor, lengths: Tensor) -> Tensor:
        """[B] target cosines -> [B]; counts a step in training mode."""
        if self.training:
            self.step += 1
        lam = self.lam().to(z.dtype)
        return (lam * z + psi(z, self.margin)) / (1 + lam)

    def lam(self) -> Tensor:
        """Return lambda at the present step."""
        if self.lam_base == 0:
            return self.step.new_zeros((), dtype=torch.float32)
        t = self.step.float()  # steps are counted exactly up to 2^24; some accelerators have no doubles
        return (self.lam_base * (1 + self.lam_gamma * t) ** -self.lam_power).clamp_min(self.lam_min)
