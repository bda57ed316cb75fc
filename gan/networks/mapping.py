"""From a latent z and a class to the intermediate latent w."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from gan.networks.layers import FullyConnected, normalize_second_moment

W_AVERAGE_BETA = 0.995  # of StyleGAN2-ADA


class ClassEmbedding(nn.Module):
    """A learnt row for each class, found by index: 100,000 classes cost no one-hot matrix.

    Equals the fully connected layer on one-hot labels of StyleGAN2-ADA for ``scale = 1 / sqrt(n_classes)``.
    """

    def __init__(self, n_classes: int, dim: int, *, scale: float) -> None:
        super().__init__()
        self.scale = scale or 1 / math.sqrt(n_classes)
        self.weight = nn.Parameter(torch.randn(n_classes, dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, labels: Tensor) -> Tensor:
        """[N] int64 -> [N, dim]."""
        return self.weight[labels] * self.scale + self.bias


class Mapping(nn.Module):
    """Normalised (z, class embedding) through fully connected layers with a hundredth of the learning rate.

    ``class_strength`` in [0, 1] says how much of the class it sees: the normalised class embedding is blended with a
    vector of ones that all classes share. At 0 the network is unconditional, at 1 (its value unless a training is in
    its transition, see ``TransitionConfig``) it is the plain one to the last bit. It is no weight: a
    generator's file has it in its header where it is below 1, and a training sets it by the images seen. Blending with
    a shared vector of the same size, rather than multiplying by the strength, keeps the discriminator alive at 0: from
    an input of zeros and biases of zero its projection target, and so every logit, would be zero.
    """

    def __init__(self, z_dim: int, n_classes: int, w_dim: int, n_layers: int, *, class_scale: float) -> None:
        super().__init__()
        self.z_dim, self.n_classes = z_dim, n_classes
        self.embed = ClassEmbedding(n_classes, w_dim, scale=class_scale) if n_classes else None
        widths = [z_dim + (w_dim if n_classes else 0)] + [w_dim] * n_layers
        self.layers = nn.ModuleList(
            FullyConnected(n_in, n_out, activate=True, lr_multiplier=0.01) for n_in, n_out in pairwise(widths)
        )
        self.register_buffer("w_average", torch.zeros(w_dim))
        self.w_average: Tensor
        # A tensor, not a float: compiled code would be compiled again for each new value of a float.
        self.register_buffer("class_strength", torch.ones(()), persistent=False)
        self.class_strength: Tensor

    def class_embedding(self, labels: Tensor | None) -> Tensor | None:
        """Return the class rows [N, w_dim], or None for an unconditional network."""
        return self.embed(labels) if self.embed is not None and labels is not None else None

    def forward(self, z: Tensor | None, embedding: Tensor | None) -> Tensor:
        """[N, z_dim] and [N, w_dim] (either may be None) -> w [N, w_dim]."""
        parts = [normalize_second_moment(z)] if z is not None else []
        if embedding is not None:
            seen = normalize_second_moment(embedding)
            parts.append(torch.lerp(torch.ones_like(seen), seen, self.class_strength))
        x = torch.cat(parts, dim=1)
        for layer in self.layers:
            x = layer(x)
        return x

    @torch.no_grad()
    def track_average(self, mean_w: Tensor) -> None:
        """Move the running mean of w towards that of a step's batch, [w_dim]."""
        self.w_average.lerp_(mean_w, 1 - W_AVERAGE_BETA)

    def truncate(self, w: Tensor, psi: float) -> Tensor:
        """Move w towards its mean: psi = 1 leaves it, 0 gives the mean (arXiv 1812.04948, appendix B)."""
        return w if psi == 1 else self.w_average.lerp(w, psi)


def set_class_strength(module: nn.Module, strength: float) -> None:
    """Set how much every mapping within a generator or discriminator sees of the class, from 0 to 1."""
    for part in module.modules():
        if isinstance(part, Mapping):
            part.class_strength.fill_(strength)
