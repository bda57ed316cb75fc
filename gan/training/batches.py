"""Which real images, labels and latents step t of a training uses: a function of (seed, t) alone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.config import TrainingConfig
from synthface.core.seeds import derive_seed, numpy_generator


@dataclass(frozen=True)
class MicroBatch:
    """Inputs of one micro-batch, all on the CPU; ``generator`` continues with its latents and augmentations."""

    read_images: Callable[[], Tensor]
    labels: Tensor  # [n] int64
    fake_labels: Tensor  # [n] int64
    generator: torch.Generator

    @cached_property
    def images(self) -> Tensor:
        """[n, 3, H, W] in [-1, 1], channels last; read when first asked for: two of the four phases never do."""
        return self.read_images()


class BatchSource:
    """Cuts training data into seeded micro-batches.

    Args:
        pixels: [N, H, W, 3] uint8, may be memory-mapped.
        labels: [N] int64.
        config: batch sizes, sampling and mirroring.
        seed: the run's seed.
    """

    def __init__(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64], config: TrainingConfig, seed: int) -> None:
        self.pixels, self.labels, self.config, self.seed = pixels, labels, config, seed
        counts = np.bincount(labels)
        exponent = {"natural": 0.0, "sqrt": -0.5, "balanced": -1.0}[config.sampling]
        weights = np.maximum(counts, 1).astype(np.float64)[labels] ** exponent
        self._image_probability = None if exponent == 0 else weights / weights.sum()
        self._cumulated = np.cumsum(self._image_probability) if self._image_probability is not None else None
        self._epoch = lru_cache(maxsize=2)(self._permutation)
        self._run_seed = seed

    def begin_attempt(self, attempt: int) -> None:
        """Draw other images, latents and augmentations from here on; attempt 0 has the run's own seed."""
        self.seed = derive_seed(self._run_seed, "attempt", attempt) if attempt else self._run_seed
        self._epoch.cache_clear()

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        generator = numpy_generator(self.seed, "epoch", epoch)
        n = len(self.labels)
        if self._image_probability is None:
            return generator.permutation(n)
        return generator.choice(n, size=n, p=self._image_probability)

    def rows(self, step: int, micro: int) -> NDArray[np.int64]:
        """Return the indices of the real images of a micro-batch."""
        n = len(self.labels)
        start = step * self.config.batch + micro * self.config.micro_batch
        positions = np.arange(start, start + self.config.micro_batch)
        return np.array([self._epoch(int(position // n))[position % n] for position in positions])

    def micro_batch(self, step: int, micro: int, phase: str) -> MicroBatch:
        """Return the inputs of micro-batch ``micro`` of a step; each phase of a step draws its own numbers."""
        size = self.config.micro_batch
        generator = torch.Generator().manual_seed(derive_seed(self.seed, phase, step, micro))
        rows = self.rows(step, micro)
        mirrored = torch.rand(size, generator=generator) < 0.5 if self.config.mirror else None
        fake_rows = torch.randint(len(self.labels), (size,), generator=generator).numpy()
        if self._cumulated is not None:
            # In float64: float32 has too few values to reach each of some ten million images.
            positions = torch.rand(size, generator=generator, dtype=torch.float64).numpy()
            fake_rows = np.searchsorted(self._cumulated, positions)
            fake_rows = fake_rows.clip(0, len(self.labels) - 1)
        return MicroBatch(
            read_images=partial(self._read, rows, mirrored),
            labels=torch.from_numpy(self.labels[rows]),
            fake_labels=torch.from_numpy(self.labels[fake_rows]),
            generator=generator,
        )

    def _read(self, rows: NDArray[np.int64], mirrored: Tensor | None) -> Tensor:
        """Return real images [n, 3, H, W], mirrored where ``mirrored`` [n] says so."""
        images = torch.from_numpy(self.pixels[rows]).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        if mirrored is not None:
            images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        return images.contiguous(memory_format=torch.channels_last)
