"""Pixels as networks take them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_tensor(pixels: NDArray[np.uint8], device: torch.device | str) -> Tensor:
    """Return [N, 3, S, S] float in [-1, 1], channels-last, from [N, S, S, 3] uint8; the device computes it."""
    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
