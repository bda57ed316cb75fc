"""One bound on the gradient of everything that is trained, also of what only one process has."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grads_with_norm_, get_total_norm

from synthface.recognition.losses.centre_table import CentreTable
from synthface.recognition.losses.recognition_loss import sum_across_processes


def clip_gradients(parameters: Iterable[Tensor], tables: Iterable[CentreTable], max_norm: float) -> None:
    """Scale all gradients so that their common norm is at most ``max_norm``, the same factor in every process.

    Args:
        parameters: the same in every process, their gradients too.
        tables: class centres after ``average_gradient``; parts of spread ones are added up over the processes.
        max_norm: the bound.
    """
    shared, spread = list(parameters), list[Tensor]()
    for table in tables:
        if table.active is not None:
            (spread if table.is_spread else shared).append(table.active)
    if not spread:
        clip_grad_norm_(shared, max_norm)
        return
    norm = get_total_norm([part.grad for part in shared if part.grad is not None])
    own = torch.stack([part.grad.square().sum() for part in spread if part.grad is not None]).sum()
    total = (norm.to(own.device) ** 2 + sum_across_processes(own)).sqrt()
    clip_grads_with_norm_([*shared, *spread], max_norm, total)
