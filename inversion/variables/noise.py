"""Noise that every optimisation starts from."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from synthface.core.seeds import numpy_generator


def start_noise(shape: tuple[int, ...], std: float, seed: int, members: Sequence[str]) -> Tensor:
    """Return [N, *shape] Gaussian noise; each member's depends on the seed and its name alone."""
    noise = [numpy_generator(seed, "start", member).normal(0, std, shape) for member in members]
    return torch.from_numpy(np.stack(noise).astype(np.float32))
