"""SV-Softmax and MV-Softmax: classes that are nearer than they should be get larger logits."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from synthface.core.errors import ConfigError


@dataclass(frozen=True)
class SupportVectors:
    """Raise the cosine of every hard negative, z_j > f(z_y).

    adaptive: z_j becomes t z_j + t - 1, the same as a factor exp(s (t - 1)(z_j + 1)) in the sum (SV-Softmax, arXiv
    1812.11317; MV-Softmax, arXiv 1912.00833). fixed: z_j + t - 1, a factor exp(s (t - 1)).

    Args:
        t: how much harder; 1 changes nothing.
        rule: adaptive or fixed.
        beside: what a negative is compared with: the plain ``target`` cosine (SV) or the one with its ``margin`` (MV).
    """

    t: float
    rule: Literal["adaptive", "fixed"] = "adaptive"
    beside: Literal["target", "margin"] = "margin"

    def __post_init__(self) -> None:
        if self.t < 1:
            raise ConfigError(f"a hard-negative factor t of {self.t} is below 1")

    def __call__(self, z: Tensor, z_y: Tensor, phi: Tensor) -> Tensor:
        """[B, C] cosines, those of hard negatives raised; which these are carries no gradient."""
        with torch.no_grad():
            hard = z > (z_y if self.beside == "target" else phi)[:, None]
        harder = self.t * z + self.t - 1 if self.rule == "adaptive" else z + self.t - 1
        return torch.where(hard, harder, z)
