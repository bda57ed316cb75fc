"""Images from seeds: image j of a class depends on nothing but (run seed, class, j)."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.generator import Generator, NoiseMode, to_uint8

# A part of the format: kernels may round differently for other shapes, so every call has this one. On a CPU each
# call has one thread, and as many run side by side as there are threads: no core waits for another at each layer.
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


@torch.inference_mode()
def draw_batch(
    G: Generator,
    requests: Sequence[ImageRequest],
    *,
    psi: float = 1.0,
    noise_mode: NoiseMode = "const",
    cutoff: int | None = None,
) -> NDArray[np.uint8]:
    """Draw up to ``MICRO_BATCH`` images, [N, H, W, 3] uint8; a short batch is padded, so that its shape is the same."""
    padded = [*requests, *[requests[-1]] * (MICRO_BATCH - len(requests))]
    device = G.synthesis.blocks[0].const.device
    seeds = [request.seed for request in padded]
    z = draw_z(seeds, G.z_dim).to(device)
    noise = None
    if noise_mode == "random":
        noise = [image.to(device) for image in draw_noise(seeds, G.synthesis.noise_resolutions)]
    embedding = class_mixture(G, [request.code for request in padded])
    images = to_uint8(G.draw(z, embedding, psi, noise_mode, noise, cutoff))
    return np.asarray(images.cpu().numpy()[: len(requests)])


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

    def draw(batch: list[ImageRequest]) -> tuple[list[ImageRequest], NDArray[np.uint8]]:
        return batch, draw_batch(G, batch, psi=psi, noise_mode=noise_mode, cutoff=cutoff)

    with _workers(G.synthesis.blocks[0].const.device) as (pool, n_workers):
        pending: deque[Future[tuple[list[ImageRequest], NDArray[np.uint8]]]] = deque()
        for batch in _micro_batches(requests):
            pending.append(pool.submit(draw, batch))
            if len(pending) > n_workers:
                yield from zip(*pending.popleft().result(), strict=True)
        while pending:
            yield from zip(*pending.popleft().result(), strict=True)


def _micro_batches(requests: Iterable[ImageRequest]) -> Iterator[list[ImageRequest]]:
    batch: list[ImageRequest] = []
    for request in requests:
        batch.append(request)
        if len(batch) == MICRO_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


@contextmanager
def _workers(device: torch.device) -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """Yield a pool that computes with one thread a worker; torch's own threads rest meanwhile."""
    n_threads = torch.get_num_threads()
    n_workers = n_threads if device.type == "cpu" else 1
    if n_workers > 1:
        torch.set_num_threads(1)  # threads that are started now inherit it
    try:
        with ThreadPoolExecutor(n_workers, thread_name_prefix="draw") as pool:
            yield pool, n_workers
    finally:
        if n_workers > 1:
            torch.set_num_threads(n_threads)
