"""Latents of a training step's generated images: z, style mixing and noise, all from the micro-batch's generator."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gan.networks.generator import Generator
from gan.training.batches import MicroBatch


@dataclass(frozen=True)
class Latents:
    """What the synthesis network turns into images.

    Attributes:
        ws: [N, n_w, w_dim], part of the mapping's graph.
        noise: one [N, 1, r, r] for each styled convolution.
        mean_w: [w_dim], of the first z of each image; not part of a graph.
    """

    ws: Tensor
    noise: list[Tensor]
    mean_w: Tensor


def draw_latents(G: Generator, batch: MicroBatch, style_mixing: float, device: torch.device) -> Latents:
    """Draw latents for the labels of a micro-batch.

    With probability ``style_mixing`` an image takes its later layers, from a random one on, from a second z (arXiv
    1812.04948, section 3.1).
    """
    n, n_w, generator = len(batch.fake_labels), G.synthesis.n_w, batch.generator
    z = torch.randn(2, n, G.z_dim, generator=generator)
    mixed = torch.rand(n, generator=generator) < style_mixing
    cut = torch.where(mixed, torch.randint(1, n_w, (n,), generator=generator), n_w)
    noise = [torch.randn(n, 1, r, r, generator=generator).to(device) for r in G.synthesis.noise_resolutions]
    embedding = G.mapping.class_embedding(batch.fake_labels.to(device)) if G.n_classes else None
    first, second = (G.mapping(part.to(device), embedding) for part in z)
    late = (torch.arange(n_w)[None] >= cut[:, None]).to(device)[..., None]
    return Latents(torch.where(late, second[:, None], first[:, None]), noise, first.detach().mean(dim=0))
