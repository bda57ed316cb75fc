"""GB-CosFace: target and non-target cosines are pushed from one boundary, partly shared by all samples."""

import torch
import torch.nn.functional as F
from torch import Tensor

from synthface.core.errors import ConfigError
from synthface.recognition.losses.columns import Columns
from synthface.recognition.losses.margins import Identity
from synthface.recognition.losses.recognition_loss import sum_across_processes
from synthface.recognition.losses.shard import Shard
from synthface.recognition.losses.softmax_head import Comparison, SoftmaxHead


class BoundaryHead(SoftmaxHead):
    """GB-CosFace (arXiv 2111.11186).

    With p = z_y, n = (1/s) log sum_{j != y} exp(s z_j), the sample's boundary v_i = (p + n) / 2 and
    v = v_i + alpha (v_g - v_i), neither with gradient:
    L = 1/2 softplus(2s (v - p + m)) + 1/2 softplus(2s (n + m - v)).

    v_g is a buffer: the batch mean of v_i at the first step, then its moving average, clamped to [low, high] before
    use. With alpha = 0 this is CosFace with twice the margin.

    Args:
        n_classes: number of identities.
        embedding_dim: numbers in an embedding.
        margin: m.
        alpha: weight of the shared boundary.
        rate: of the moving average.
        low: least shared boundary. The published 0.5 pins it on small models, whose cosines stay below.
        high: greatest shared boundary.
        scale: s.
        sample_rate: share of the classes that take part in a step.
        shard: this process's part of the classes.
        seed: of the first class centres, and of the sample.
    """

    boundary: Tensor

    def __init__(
        self,
        n_classes: int,
        embedding_dim: int,
        *,
        margin: float,
        alpha: float,
        rate: float,
        low: float,
        high: float,
        scale: float | None,
        sample_rate: float = 1.0,
        shard: Shard | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            n_classes,
            embedding_dim,
            target=Identity(),
            scale=scale,
            sample_rate=sample_rate,
            shard=shard,
            seed=seed,
        )
        if not 0 <= alpha <= 1 or not 0 <= rate <= 1 or not -1 <= low <= high <= 1:
            raise ConfigError(
                f"alpha {alpha} and rate {rate} are in [0, 1]; low {low} is at most high {high}, in [-1, 1]"
            )
        self.margin, self.alpha, self.rate, self.low, self.high = margin, alpha, rate, low, high
        self.register_buffer("boundary", torch.tensor(float("nan")))  # not known before the first step

    def loss(self, compared: Comparison, columns: Columns) -> Tensor:
        """Return the mean loss; moves the shared boundary in training mode."""
        s = compared.scale.squeeze()
        p = columns.own(compared.z)
        n = columns.logsumexp(columns.with_own(s * compared.z, s.new_tensor(-torch.inf))) / s
        with torch.no_grad():
            v_i = (p + n) / 2
            n_samples = sum_across_processes(v_i.new_tensor(float(len(v_i))))
            mean = sum_across_processes(v_i.sum()) / n_samples
            known = torch.where(self.boundary.isnan(), mean, self.boundary.to(mean.dtype))
            shared = known.clamp(self.low, self.high)
            v = v_i + self.alpha * (shared - v_i)
            if self.training:
                self.boundary.copy_((1 - self.rate) * shared + self.rate * mean)
        return (F.softplus(2 * s * (v - p + self.margin)) + F.softplus(2 * s * (n + self.margin - v))).mean() / 2
