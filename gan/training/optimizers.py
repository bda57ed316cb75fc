"""Adam for both networks, and its rate in a step: the full one, less after rollbacks, and less as the run ends."""

from typing import Any

import torch
from torch import nn

AFTER_ROLLBACK = 0.5  # factor of the full rate for every attempt after the first


def adam(module: nn.Module, learning_rate: float, interval: int) -> torch.optim.Adam:
    """Return Adam for a network with one extra step every ``interval``, 0 for none.

    Rate and memory shrink to match the extra steps (lazy regularisation, arXiv 1912.04958, appendix B).
    """
    ratio = interval / (interval + 1) if interval else 1.0
    return torch.optim.Adam(module.parameters(), lr=learning_rate * ratio, betas=(0.0, 0.99**ratio), fused=True)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to a share of its full one."""
    for group in optimizer.param_groups:
        group["lr"] = _full_rate(group) * factor


def lower_full_rates(optimizer: torch.optim.Optimizer, attempt: int) -> None:
    """Lower the full rates to those of an attempt; groups remember for which one theirs are.

    So a resumed run keeps its rates, and a state from before a failure gets the new ones.

    Args:
        optimizer: of one network.
        attempt: rollbacks so far; 0 changes nothing.
    """
    for group in optimizer.param_groups:
        group["initial_lr"] = _full_rate(group) * AFTER_ROLLBACK ** (attempt - group.get("attempt", 0))
        group["attempt"] = attempt


def _full_rate(group: dict[str, Any]) -> float:
    """Return the rate of a group before any cooldown; its present one if there was none yet."""
    rate: float = group.setdefault("initial_lr", group["lr"])
    return rate
