"""Distances within a batch and which of its pairs show one person."""

import torch
from torch import Tensor

from synthface.recognition.losses.recognition_loss import TINY


def squared_distances(x: Tensor) -> Tensor:
    """Return [B, B] squared Euclidean distances of vectors [B, D]."""
    squares = x.square().sum(dim=1)
    return (squares[:, None] + squares[None, :] - 2 * x @ x.T).clamp_min(0)


def distances(x: Tensor) -> Tensor:
    """Return [B, B] Euclidean distances of vectors [B, D], with a finite gradient where two coincide."""
    return (squared_distances(x) + TINY).sqrt()


def mated_pairs(y: Tensor) -> Tensor:
    """Return [B, B] bool: two different images of one class."""
    return (y[:, None] == y[None, :]) & ~torch.eye(len(y), dtype=torch.bool, device=y.device)


def mean_or_zero(values: Tensor, x: Tensor) -> Tensor:
    """Return the mean of values, or, where there are none, a zero that keeps ``x`` in the graph."""
    return values.mean() if values.numel() else x.sum() * 0
