"""Calls that run side by side on a CPU, each on its share of the threads: no core waits for another at each layer."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

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
        with ThreadPoolExecutor(n_workers, thread_name_prefix="side-by-side") as pool:
            remaining = iter(items)
            pending: deque[Future[B]] = deque(pool.submit(call, item) for item in islice(remaining, n_workers + 1))
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(call, item) for item in islice(remaining, 1))
                yield result
    finally:
        torch.set_num_threads(n_threads)
