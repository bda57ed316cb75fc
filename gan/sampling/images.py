"""Images from seeds: image j of a class depends on nothing but (run seed, class, j)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.networks.generator import Generator, NoiseMode, to_uint8
from gan.sampling.frozen_synthesis import FrozenSynthesis
from gan.sampling.side_by_side import side_by_side

# A part of the format: kernels may round differently for other shapes, so every call has this one.
MICRO_BATCH = 16


@dataclass(frozen=True)
class ImageRequest:
    """One image to draw.

    Attributes:
        seed: of z and of random noise.
        code: weights of training classes, ``{class: weight}``; ``{k: 1.0}`` is class k itself. Empty if unconditional.
        key: handed through to the result.
    """

    seed: int
    code: dict[int, float]
    key: Any = None


def draw_z(seeds: Sequence[int], z_dim: int) -> Tensor:
    """Return one z a seed, [N, z_dim] standard normal."""
    return torch.stack([torch.randn(z_dim, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def draw_noise(seeds: Sequence[int], resolutions: Sequence[int]) -> list[Tensor]:
    """Return random noise images, for each resolution [N, 1, r, r], from the images' own seeds."""
    generators = [torch.Generator().manual_seed(seed ^ 0x5EED) for seed in seeds]
    return [torch.stack([torch.randn(1, r, r, generator=g) for g in generators]) for r in resolutions]


def class_mixture(G: Generator, codes: Sequence[dict[int, float]]) -> Tensor | None:
    """Return the class embeddings of codes, [N, w_dim]: the weighted sums of the classes' rows."""
    if G.n_classes == 0:
        return None
    device = G.synthesis.blocks[0].const.device
    rows = []
    for code in codes:
        embedding = G.mapping.class_embedding(torch.tensor(list(code), device=device))
        assert embedding is not None
        rows.append(torch.tensor(list(code.values()), device=device) @ embedding)
    return torch.stack(rows)


class Sampler:
    """Draws images from a generator whose weights are not changed meanwhile.

    Args:
        G: the generator.
        psi: truncation towards the mean w.
        noise_mode: see ``Generator.forward``.
        cutoff: number of layers that are truncated; None is all.
    """

    def __init__(
        self, G: Generator, *, psi: float = 1.0, noise_mode: NoiseMode = "const", cutoff: int | None = None
    ) -> None:
        self.G, self.psi, self.cutoff, self.is_random = G, psi, cutoff, noise_mode == "random"
        with torch.inference_mode():
            fixed = G.synthesis.constant_noise() if noise_mode == "const" else None
            self._synthesize = FrozenSynthesis(G.synthesis, fixed)

    @torch.inference_mode()
    def draw(self, requests: Sequence[ImageRequest]) -> NDArray[np.uint8]:
        """Draw up to ``MICRO_BATCH`` images, [N, H, W, 3] uint8; a short batch is padded to that size."""
        G, padded = self.G, [*requests, *[requests[-1]] * (MICRO_BATCH - len(requests))]
        device = G.synthesis.blocks[0].const.device
        seeds = [request.seed for request in padded]
        noise: list[Tensor] = []
        if self.is_random:
            noise = [image.to(device) for image in draw_noise(seeds, G.synthesis.noise_resolutions)]
        w = G.mapping(draw_z(seeds, G.z_dim).to(device), class_mixture(G, [request.code for request in padded]))
        images = to_uint8(self._synthesize(G.truncated_ws(w, self.psi, self.cutoff), noise))
        return np.asarray(images.cpu().numpy()[: len(requests)])


def draw_batch(
    G: Generator,
    requests: Sequence[ImageRequest],
    *,
    psi: float = 1.0,
    noise_mode: NoiseMode = "const",
    cutoff: int | None = None,
) -> NDArray[np.uint8]:
    """Draw up to ``MICRO_BATCH`` images, [N, H, W, 3] uint8; for more, see ``draw_images``."""
    return Sampler(G, psi=psi, noise_mode=noise_mode, cutoff=cutoff).draw(requests)


def draw_images(
    G: Generator,
    requests: Iterable[ImageRequest],
    *,
    psi: float = 1.0,
    noise_mode: NoiseMode = "const",
    cutoff: int | None = None,
) -> Iterator[tuple[ImageRequest, NDArray[np.uint8]]]:
    """Yield each request with its image [H, W, 3] uint8, in order.

    Args:
        G: the generator.
        requests: taken a few micro-batches ahead of what is yielded.
        psi: truncation towards the mean w.
        noise_mode: see ``Generator.forward``.
        cutoff: number of layers that are truncated; None is all.
    """
    sampler = Sampler(G, psi=psi, noise_mode=noise_mode, cutoff=cutoff)

    def draw(batch: list[ImageRequest]) -> tuple[list[ImageRequest], NDArray[np.uint8]]:
        return batch, sampler.draw(batch)

    for batch, images in side_by_side(draw, _micro_batches(requests), G.synthesis.blocks[0].const.device):
        yield from zip(batch, images, strict=True)


def _micro_batches(requests: Iterable[ImageRequest]) -> Iterator[list[ImageRequest]]:
    batch: list[ImageRequest] = []
    for request in requests:
        batch.append(request)
        if len(batch) == MICRO_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
