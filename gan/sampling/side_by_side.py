"""Calls that run side by side on a CPU, each on its share of the threads: no core waits for another at each layer."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

from synthface.core.ahead import computed_ahead

A = TypeVar("A")
B = TypeVar("B")


def side_by_side(
    call: Callable[[A], B], items: Iterable[A], device: torch.device, *, most: int | None = None
) -> Iterator[B]:
    """Yield ``call(item)`` for each item, in order.

    Args:
        call: has to bear being called from several threads at once; its kernels may be as many at once.
        items: taken a few ahead of what is yielded.
        device: where it computes; only a CPU is shared out.
        most: calls at once; None is as many as torch has threads, each with one.
    """
    n_threads = torch.get_num_threads()
    n_workers = min(n_threads, most or n_threads) if device.type == "cpu" else 1
    if n_workers == 1:
        yield from map(call, items)
        return
    torch.set_num_threads(n_threads // n_workers)  # threads that are started now inherit it
    try:
        yield from computed_ahead(call, items, threads=n_workers, name="side-by-side")
    finally:
        torch.set_num_threads(n_threads)
