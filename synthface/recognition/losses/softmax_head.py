"""The softmax family of recognition losses, from one formula.

L_i = -log  exp(S phi(z_iy)) / (exp(S phi(z_iy)) + sum_{j != y} exp(S n(z_ij))),    z_ij = cos(x_i, w_j)

A member is a choice of S (both norms, the embedding's norm, or a constant), of phi and of n; n is the identity but for
the losses that make hard negatives harder.
"""

from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from synthface.core.errors import ConfigError
from synthface.recognition.losses.centre_table import CentreTable
from synthface.recognition.losses.class_centres import ClassCentres
from synthface.recognition.losses.columns import Columns
from synthface.recognition.losses.margins import TargetFunction
from synthface.recognition.losses.recognition_loss import RecognitionLoss, in_full_precision, unit
from synthface.recognition.losses.scale import default_scale
from synthface.recognition.losses.shard import Shard

ScaleRule = Literal["norms", "feature_norm", "fixed"]
_LEAST_LEARNT_SCALE = 0.01  # as in NormFace's code


class NegativeFunction(Protocol):
    """Changes the cosines to the other classes."""

    def __call__(self, z: Tensor, z_y: Tensor, phi: Tensor) -> Tensor:
        """[B, C] cosines, [B] target cosines and [B] phi -> [B, C]; the target's own column is ignored."""
        ...


class Comparison(NamedTuple):
    """Embeddings against class centres."""

    z: Tensor  # [B, S] cosines to the S centres that take part, clamped against rounding
    scale: Tensor  # S, broadcasts to z
    lengths: Tensor  # [B] of the raw embeddings


class SoftmaxHead(RecognitionLoss):
    """Class centres and the loss against them.

    Computes in float32 at least, also inside autocast.

    Args:
        n_classes: number of identities.
        embedding_dim: numbers in an embedding.
        target: phi, what becomes of the target cosine.
        negatives: n, what becomes of the others; None leaves them.
        scale_rule: what S is: both norms, the embedding's norm, or the constant ``scale``.
        scale: s, where the rule is ``fixed``; None takes ``default_scale``.
        learn_scale: make s a parameter that starts at ``scale``.
        sub_centres: K centres a class; the nearest counts.
        sample_rate: share of the classes that take part in a step, at less than 1 (``CentreTable``).
        shard: this process's part of the classes, where they are spread over processes.
        seed: of the first class centres, and of the sample.
    """

    def __init__(
        self,
        n_classes: int,
        embedding_dim: int,
        *,
        target: TargetFunction,
        negatives: NegativeFunction | None = None,
        scale_rule: ScaleRule = "fixed",
        scale: float | None = None,
        learn_scale: bool = False,
        sub_centres: int = 1,
        sample_rate: float = 1.0,
        shard: Shard | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if scale is not None and scale <= 0:
            raise ConfigError(f"a scale of {scale} is not positive")
        if sub_centres < 1:
            raise ConfigError(f"{sub_centres} sub-centres: give at least 1")
        self.target, self.negatives, self.scale_rule, self.sub_centres = target, negatives, scale_rule, sub_centres
        value = default_scale(n_classes) if scale is None else float(scale)
        self.scale: float | nn.Parameter = nn.Parameter(torch.tensor(value)) if learn_scale else value
        shape = (n_classes, embedding_dim) if sub_centres == 1 else (n_classes, sub_centres, embedding_dim)
        self.centres: ClassCentres | CentreTable = (
            ClassCentres(shape, seed)
            if sample_rate == 1 and shard is None
            else CentreTable(shape, seed, rate=sample_rate, shard=shard)
        )

    @property
    def weight(self) -> Tensor:
        """All class centres that this process has, [C, D], or [C, K, D] with sub-centres."""
        return self.centres.weight

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of raw embeddings [B, D] with class labels [B] (int64).

        Where the classes are spread it is that of all processes' images.
        """
        with torch.autocast(x.device.type, enabled=False):
            x, y = self.centres.gather(in_full_precision(x), y)
            weight, columns = self.centres(y)
            return self.loss(self.compare(x, weight), columns)

    def loss(self, compared: Comparison, columns: Columns) -> Tensor:
        """Return the mean loss of a comparison, whose columns know where each image's own class is."""
        z, scale, lengths = compared
        z_y = columns.own(z)
        phi = self.target(z_y, lengths).to(z.dtype)
        others = z if self.negatives is None else self.negatives(z, z_y, phi)
        return columns.cross_entropy(scale * columns.with_own(others, phi))

    def logits(self, x: Tensor) -> Tensor:
        """Return [B, C] logits without the margin for the classes that this process has: what classifies."""
        with torch.autocast(x.device.type, enabled=False):
            compared = self.compare(x, self.weight)
            return compared.scale * compared.z

    def compare(self, x: Tensor, weight: Tensor) -> Comparison:
        """Compare raw embeddings [B, D] with centres [S, D] or [S, K, D]."""
        x = in_full_precision(x)
        weight = weight.to(x.dtype)
        w = unit(weight)
        # The best of K is taken for every class, before any margin.
        z = unit(x) @ w.T if w.ndim == 2 else torch.einsum("bd,ckd->bck", unit(x), w).amax(dim=2)
        z, lengths = z.clamp(-1, 1), x.norm(dim=1)
        if self.scale_rule == "feature_norm":
            return Comparison(z, lengths[:, None], lengths)
        if self.scale_rule == "norms":
            return Comparison(z, lengths[:, None] * weight.norm(dim=1), lengths)
        if isinstance(self.scale, nn.Parameter):
            return Comparison(z, self.scale.to(z.dtype).clamp_min(_LEAST_LEARNT_SCALE).view(1, 1), lengths)
        return Comparison(z, z.new_full((1, 1), self.scale), lengths)

    def extra_repr(self) -> str:
        """Describe the loss in the module's print."""
        scale = self.scale.item() if isinstance(self.scale, nn.Parameter) else self.scale
        return f"scale_rule={self.scale_rule}, scale={scale:g}"
