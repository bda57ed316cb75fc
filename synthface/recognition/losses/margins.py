"""Target functions phi of the softmax family (``softmax_head``): what becomes of the target cosine."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from synthface.core.errors import ConfigError

PastPi = Literal["linear", "easy", "none"]
GradientRule = Literal["exact", "detached"]
_EDGE = 1e-7  # keeps sqrt(1 - z^2) away from its infinite slope at exact alignment


class TargetFunction(Protocol):
    """Maps the cosine to the target class to what takes its place."""

    def __call__(self, z: Tensor, lengths: Tensor) -> Tensor:
        """[B] target cosines and [B] lengths of the raw embeddings -> [B]."""
        ...


@dataclass(frozen=True)
class Identity:
    """phi(z) = z: softmax, modified softmax, NormFace."""

    def __call__(self, z: Tensor, lengths: Tensor) -> Tensor:
        """[B] target cosines, unchanged."""
        return z


@dataclass(frozen=True)
class CosineMargin:
    """phi(z) = z - m: CosFace (arXiv 1801.09414, eq. 4), the same function as AM-Softmax (arXiv 1801.05599).

    Args:
        margin: m, in cosine.
    """

    margin: float

    def __call__(self, z: Tensor, lengths: Tensor) -> Tensor:
        """[B] target cosines, less the margin."""
        return z - self.margin


@dataclass(frozen=True)
class AngularMargin:
    """phi = cos(theta + m): ArcFace (arXiv 1801.07698, eq. 3).

    Computed as z cos m - sqrt(1 - z^2) sin m: through acos the gradient is infinite at exact alignment.

    Args:
        margin: m in radians.
        past_pi: what happens where theta + m > pi. ``linear``: z - m sin m, non-increasing in theta, with a step
            down from -1 to -(cos m + m sin m) at the seam; ``easy``: the margin applies only where z > 0, which is not
            monotone; ``none``: the cosine goes on and rises again.
        grad: ``exact`` derivative, or ``detached``: that of z, so the margin only shifts the logit.
    """

    margin: float
    past_pi: PastPi = "linear"
    grad: GradientRule = "exact"

    def __post_init__(self) -> None:
        if not 0 <= self.margin < math.pi:
            raise ConfigError(f"an angular margin of {self.margin} is not in [0, pi) radians")
        if self.past_pi not in ("linear", "easy", "none") or self.grad not in ("exact", "detached"):
            raise ConfigError(
                f"past_pi {self.past_pi!r}, grad {self.grad!r}: not among linear, easy, none; exact, detached"
            )

    def __call__(self, z: Tensor, lengths: Tensor) -> Tensor:
        """[B] target cosines, turned by the margin."""
        if self.grad == "detached":
            return z + (self._turned(z.detach()) - z.detach())
        return self._turned(z)

    def _turned(self, z: Tensor) -> Tensor:
        if self.margin == 0:
            return z
        turned = turned_cosine(z, z.new_tensor(self.margin))
        if self.past_pi == "linear":
            return torch.where(z > -math.cos(self.margin), turned, z - self.margin * math.sin(self.margin))
        return torch.where(z > 0, turned, z) if self.past_pi == "easy" else turned


@dataclass(frozen=True)
class CombinedMargin:
    """phi = cos(m1 theta + m2) - m3: the three margins in one (ArcFace, arXiv 1801.07698, eq. 4).

    Where m1 theta + m2 passes pi, the cosine is continued downwards as in SphereFace, so that phi never rises.

    Args:
        multiplied: m1, positive; a margin from 1 on (below it phi exceeds the plain cosine).
        angular: m2 in radians.
        cosine: m3.
    """

    multiplied: float
    angular: float
    cosine: float

    def __post_init__(self) -> None:
        if self.multiplied <= 0 or not 0 <= self.angular < math.pi or self.cosine < 0:
            raise ConfigError(
                f"m1 {self.multiplied}, m2 {self.angular}, m3 {self.cosine}: give m1 > 0, m2 in [0, pi) and m3 >= 0"
            )

    def __call__(self, z: Tensor, lengths: Tensor) -> Tensor:
        """[B] target cosines with the three margins."""
        if self.multiplied == 1:
            with torch.no_grad():
                wrapped = z <= -math.cos(self.angular)
            turned = turned_cosine(z, z.new_tensor(self.angular)) if self.angular else z
            return (torch.where(wrapped, -2 - turned, turned) if self.angular else z) - self.cosine
        total = self.multiplied * torch.acos(z.clamp(-1 + _EDGE, 1 - _EDGE)) + self.angular
        k = torch.floor(total.detach() / math.pi)
        return (1 - 2 * (k % 2)) * torch.cos(total) - 2 * k - self.cosine


def turned_cosine(z: Tensor, margin: Tensor) -> Tensor:
    """Return cos(acos(z) + margin) with gradients that stay finite at z = +-1; the shapes broadcast."""
    c = z.clamp(-1 + _EDGE, 1 - _EDGE)
    return c * margin.cos() - (1 - c * c).clamp_min(_EDGE).sqrt() * margin.sin()
