"""Adapted margins: rarer classes get larger ones, on every logit."""

from collections.abc import Sequence

import torch
from torch import Tensor

from synthface.core.errors import ConfigError
from synthface.recognition.losses.columns import Columns
from synthface.recognition.losses.margins import Identity
from synthface.recognition.losses.shard import Shard
from synthface.recognition.losses.softmax_head import Comparison, SoftmaxHead


class FrequencyMarginHead(SoftmaxHead):
    """L = CE(s (z_j - m_j), y) with m_j = 1 - (share of class j among the images of its group).

    The margin stands on every class, so only differences count: it is the class's share, added to the cosine in
    training and left out afterwards. Source: AdaVQA, IJCAI 2021, for long-tailed answers.

    Args:
        n_classes: number of identities.
        embedding_dim: numbers in an embedding.
        class_counts: [C] images of each class; None for equal ones, which makes this NormFace.
        groups: [C] group of each class (say, a demographic stratum); None for one group.
        scale: s.
        shard: this process's part of the classes.
        seed: of the first class centres.
    """

    margins: Tensor

    def __init__(
        self,
        n_classes: int,
        embedding_dim: int,
        *,
        class_counts: Sequence[int] | None = None,
        groups: Sequence[int] | None = None,
        scale: float | None = None,
        shard: Shard | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(n_classes, embedding_dim, target=Identity(), scale=scale, shard=shard, seed=seed)
        counts = torch.ones(n_classes).double() if class_counts is None else torch.as_tensor(class_counts).double()
        group = torch.zeros(n_classes, dtype=torch.int64) if groups is None else torch.as_tensor(groups)
        if len(counts) != n_classes or len(group) != n_classes or (counts < 0).any():
            raise ConfigError(f"{len(counts)} class counts and {len(group)} groups for {n_classes} classes")
        totals = torch.zeros(int(group.max()) + 1).double().index_add(0, group, counts)
        self.register_buffer("margins", (1 - counts / totals[group].clamp_min(1)).float())

    def loss(self, compared: Comparison, columns: Columns) -> Tensor:
        """Return the mean cross entropy of the cosines less their margins."""
        margins = columns.of_classes(self.margins).to(compared.z.dtype)
        return columns.cross_entropy(compared.scale * (compared.z - margins))
