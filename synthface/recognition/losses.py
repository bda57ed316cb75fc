"""The softmax family of recognition losses: one formula, of which each loss is a row.

L_i = -log  exp(S phi(z_iy)) / (exp(S phi(z_iy)) + sum_{j != y} exp(S z_ij)),    z_ij = cos(x_i, w_j)

loss               S               phi
softmax            |w_j| |x_i|     z               (no bias)
modified-softmax   |x_i|           z
normface           s               z               arXiv 1704.06369
cosface            s               z - m           arXiv 1801.09414
arcface            s               cos(theta + m)  arXiv 1801.07698
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthface.core.errors import ConfigError
from synthface.recognition.margins import AngularMargin, CosineMargin, Identity, TargetFunction

ScaleRule = Literal["norms", "feature_norm", "fixed"]
_TINY = 1e-12  # a zero embedding has no direction; its cosine is taken as 0


class SoftmaxHead(nn.Module):
    """Class centres and the loss against them.

    Computes in float32 at least, also inside autocast: at half precision the angle is off by up to 12 % of a margin.

    Args:
        n_classes: number of identities.
        embedding_dim: numbers in an embedding.
        target: phi, what becomes of the target cosine.
        scale_rule: what S is: both norms, the embedding's norm, or the constant ``scale``.
        scale: s, where the rule is ``fixed``; None takes ``default_scale``.
        seed: of the first class centres.
    """

    def __init__(
        self,
        n_classes: int,
        embedding_dim: int,
        *,
        target: TargetFunction,
        scale_rule: ScaleRule = "fixed",
        scale: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if n_classes < 2:
            raise ConfigError(f"a classification loss needs at least 2 identities, not {n_classes}")
        if scale is not None and scale <= 0:
            raise ConfigError(f"a scale of {scale} is not positive")
        self.target_logit = target
        self.scale_rule = scale_rule
        self.scale = default_scale(n_classes) if scale is None else float(scale)
        generator = torch.Generator().manual_seed(seed)
        # Only the direction of a centre counts when it is normalised; small centres turn fast at first.
        self.weight = nn.Parameter(torch.randn(n_classes, embedding_dim, generator=generator) * 0.01)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of raw embeddings [B, D] with class labels [B] (int64)."""
        with torch.autocast(x.device.type, enabled=False):
            z, scale = self._cosines(x)
            rows = torch.arange(len(y), device=y.device)
            logits = scale * z
            target = (scale.expand_as(z)[rows, y] * self.target_logit(z[rows, y])).to(logits.dtype)
            return F.cross_entropy(logits.index_put((rows, y), target), y)

    def logits(self, x: Tensor) -> Tensor:
        """Return [B, C] logits without the margin: what classifies, and what accuracy is measured with."""
        with torch.autocast(x.device.type, enabled=False):
            z, scale = self._cosines(x)
            return scale * z

    def _cosines(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines [B, C], clamped against rounding, and S that broadcasts to them."""
        weight = self.weight.to(x.dtype) if x.dtype == torch.float64 else self.weight.float()
        x = x.to(weight.dtype)
        z = (F.normalize(x, eps=_TINY) @ F.normalize(weight, eps=_TINY).T).clamp(-1, 1)
        if self.scale_rule == "fixed":
            return z, z.new_full((1, 1), self.scale)
        lengths = x.norm(dim=1, keepdim=True)
        return z, lengths * weight.norm(dim=1) if self.scale_rule == "norms" else lengths

    def extra_repr(self) -> str:
        """Describe the loss in the module's print."""
        return f"target={self.target_logit}, scale_rule={self.scale_rule}, scale={self.scale:g}"


@dataclass(frozen=True)
class Loss:
    """A named row of the family; call it to make its head.

    Attributes:
        name: what the command line calls it.
        scale_rule: what S is.
        margin: default margin; None where the loss has none.
        make_target: from the margin and further options to phi.
    """

    name: str
    scale_rule: ScaleRule
    margin: float | None
    make_target: Callable[..., TargetFunction]

    def __call__(
        self,
        n_classes: int,
        embedding_dim: int,
        *,
        margin: float | None = None,
        scale: float | None = None,
        seed: int = 0,
        **target_options: Any,
    ) -> SoftmaxHead:
        """Return the head; ``target_options`` go to phi (ArcFace: past_pi, grad).

        Raises:
            ConfigError: a margin or a scale for a loss that has none.
        """
        if self.margin is None and margin is not None:
            raise ConfigError(f"--margin: {self.name} has no margin")
        if self.scale_rule != "fixed" and scale is not None:
            raise ConfigError(f"--scale: {self.name} takes its scale from the norms")
        chosen = self.margin if margin is None else margin
        target = self.make_target(**target_options) if chosen is None else self.make_target(chosen, **target_options)
        return SoftmaxHead(n_classes, embedding_dim, target=target, scale_rule=self.scale_rule, scale=scale, seed=seed)


LOSSES: Mapping[str, Loss] = MappingProxyType({
    loss.name: loss
    for loss in (
        Loss("softmax", "norms", None, Identity),
        Loss("modified-softmax", "feature_norm", None, Identity),
        Loss("normface", "fixed", None, Identity),
        Loss("cosface", "fixed", 0.35, CosineMargin),
        Loss("arcface", "fixed", 0.5, AngularMargin),
    )
})  # fmt: skip


def minimum_scale(n_classes: int, probability: float = 0.9) -> float:
    """Return the least s at which a class centre can reach a posterior ``probability`` for its own class.

    Source: CosFace, arXiv 1801.09414, eq. 6; centres on a simplex.
    """
    if n_classes < 2 or not 0 < probability < 1:
        raise ConfigError(f"{n_classes} classes at probability {probability}: give 2 classes or more, and 0 < P < 1")
    return (n_classes - 1) / n_classes * math.log((n_classes - 1) * probability / (1 - probability))


def default_scale(n_classes: int) -> float:
    """Return the s used where none is given: four times the bound at P = 0.9, at most the customary 64.

    At a fixed 64 the loss of ten classes is zero after the first steps; at the bound itself a margin leaves it high.
    """
    return min(64.0, 4 * minimum_scale(n_classes))


def normface_lower_bound(n_classes: int, scale: float) -> float:
    """Return the least NormFace loss that any embeddings can reach: log(1 + (C - 1) exp(-s C / (C - 1))).

    Source: NormFace, arXiv 1704.06369, proposition 2.
    """
    return math.log1p((n_classes - 1) * math.exp(-scale * n_classes / (n_classes - 1)))
