"""Dropout whose masks follow from (seed, epoch, step, process), so that a resumed run drops the same."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from synthface.core.seeds import derive_seed


def draws_masks(network: nn.Module) -> bool:
    """Say whether a network has a dropout that drops something."""
    return any(isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0 for part in network.modules())


@contextlib.contextmanager
def seeded_masks(device: torch.device, seed: int, *parts: int) -> Iterator[None]:
    """Let torch draw from (seed, parts) inside the block, and leave its generators outside as they were.

    Args:
        device: where the network computes; its generator is seeded and restored beside the CPU's.
        seed: the run's.
        parts: which draw: epoch, step, process.
    """
    accelerator = torch.device(device)
    devices = [] if accelerator.type == "cpu" else [accelerator.index or 0]
    kind = {} if accelerator.type == "cpu" else {"device_type": accelerator.type}
    with torch.random.fork_rng(devices, **kind):
        torch.manual_seed(derive_seed(seed, "dropout", *parts))
        yield
