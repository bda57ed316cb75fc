"""MagFace: the embedding's length becomes a measure of quality, because the margin grows with it."""

import torch
from torch import Tensor

from synthface.core.errors import ConfigError
from synthface.recognition.losses.columns import Columns
from synthface.recognition.losses.margins import turned_cosine
from synthface.recognition.losses.shard import Shard
from synthface.recognition.losses.softmax_head import Comparison, SoftmaxHead


class MagnitudeMargin:
    """phi = cos(theta + m(a)) where z > 0, else z; m rises linearly with the length a from l_m to u_m on [l_a, u_a]."""

    def __init__(self, l_a: float, u_a: float, l_m: float, u_m: float) -> None:
        if not 0 < l_a < u_a or not 0 <= l_m <= u_m:
            raise ConfigError(f"lengths {l_a} to {u_a} and margins {l_m} to {u_m}: give 0 < l_a < u_a, 0 <= l_m <= u_m")
        self.l_a, self.u_a, self.l_m, self.u_m = l_a, u_a, l_m, u_m

    def __call__(self, z: Tensor, lengths: Tensor) -> Tensor:
        """[B] target cosines and [B] lengths -> [B]; the gradient reaches the lengths inside the band."""
        return torch.where(z > 0, turned_cosine(z, self.margin(lengths)), z)

    def margin(self, lengths: Tensor) -> Tensor:
        """Return m(a) in radians."""
        a = lengths.clamp(self.l_a, self.u_a)
        return self.l_m + (self.u_m - self.l_m) * (a - self.l_a) / (self.u_a - self.l_a)

    def regulariser(self, lengths: Tensor) -> Tensor:
        """Return g(a) = 1 / a + a / u_a^2: convex and falling up to u_a, so that long embeddings are rewarded."""
        a = lengths.clamp(self.l_a, self.u_a)
        return 1 / a + a / self.u_a**2


class MagFaceHead(SoftmaxHead):
    """MagFace (arXiv 2103.06627): softmax with the magnitude margin, plus lam_g times the mean of g(a).

    Lengths must begin inside [l_a, u_a], else they get no gradient; for lengths around 1 the authors advise
    l_a 1, u_a 51, l_m 0.45, u_m 1, lam_g 5.
    """

    target: MagnitudeMargin

    def __init__(
        self,
        n_classes: int,
        embedding_dim: int,
        *,
        margin: MagnitudeMargin,
        lam_g: float,
        scale: float | None = None,
        sample_rate: float = 1.0,
        shard: Shard | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            n_classes, embedding_dim, target=margin, scale=scale, sample_rate=sample_rate, shard=shard, seed=seed
        )
        self.lam_g = lam_g

    def loss(self, compared: Comparison, columns: Columns) -> Tensor:
        """Return the mean loss with its regulariser."""
        return super().loss(compared, columns) + self.lam_g * self.target.regulariser(compared.lengths).mean()
