"""Simplex loss: class centres are not learnt but stand as far from each other as possible."""

import math

import torch
from torch import Tensor, nn

from synthface.core.errors import ConfigError
from synthface.recognition.losses.recognition_loss import RecognitionLoss, in_full_precision


def simplex_vertices(n_classes: int) -> Tensor:
    """Return [C, C - 1] unit vectors (float64) with inner products -1 / (C - 1) and sum 0."""
    if n_classes < 2:
        raise ConfigError(f"a simplex needs at least 2 classes, not {n_classes}")
    k = n_classes - 1
    first = torch.full((1, k), k**-0.5, dtype=torch.float64)
    shift = -(1 + math.sqrt(k + 1)) / k**1.5
    return torch.cat([first, shift + math.sqrt((k + 1) / k) * torch.eye(k, dtype=torch.float64)])


class SimplexLoss(RecognitionLoss):
    """mean ||f(x_i) - s_{y_i}||^2 with fixed centres s_j = radius * v_j (arXiv 2212.11747).

    The C - 1 dimensions of the simplex are the first of the embedding; where it has fewer, f is a small network
    D -> (C - 1)/2 -> C - 1 that is not part of the recogniser. Otherwise f is the identity.

    Args:
        n_classes: number of identities.
        embedding_dim: numbers in an embedding.
        radius: None for sqrt(D), the length a batch-normalised embedding starts with. The published 1000 goes with
            Adam at 1e-4: gradients grow with it.
        seed: of the small network.
    """

    vertices: Tensor

    def __init__(self, n_classes: int, embedding_dim: int, *, radius: float | None = None, seed: int = 0) -> None:
        super().__init__()
        vertices = simplex_vertices(n_classes)
        if radius is not None and radius <= 0:
            raise ConfigError(f"a radius of {radius} is not positive")
        dim = n_classes - 1
        self.lift: nn.Module = nn.Identity() if dim <= embedding_dim else _lift(embedding_dim, dim, seed)
        centres = (math.sqrt(embedding_dim) if radius is None else radius) * vertices
        width = max(embedding_dim, dim)
        # A buffer, so that no optimiser moves it.
        self.register_buffer("vertices", torch.nn.functional.pad(centres, (0, width - dim)).float())

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of raw embeddings [B, D] with labels [B]."""
        with torch.autocast(x.device.type, enabled=False):
            x = in_full_precision(x)
            return (self.lift(x) - self.vertices[y].to(x.dtype)).square().sum(dim=1).mean()

    def logits(self, x: Tensor) -> Tensor:
        """Return [B, C] negative squared distances to the centres."""
        x = in_full_precision(x)
        return -torch.cdist(self.lift(x), self.vertices.to(x.dtype)).square()


def _lift(d_in: int, d_out: int, seed: int) -> nn.Module:
    lift = nn.Sequential(nn.Linear(d_in, d_out // 2), nn.ReLU(), nn.Linear(d_out // 2, d_out))
    generator = torch.Generator().manual_seed(seed)
    for module in lift:
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(module.bias)
    return lift
