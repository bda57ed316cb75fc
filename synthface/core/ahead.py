"""Results in order, computed a few ahead by threads: for work that leaves Python's lock, such as decoding."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def computed_ahead(
    call: Callable[[A], B], items: Iterable[A], *, threads: int, ahead: int = 1, name: str = "ahead"
) -> Iterator[B]:
    """Yield ``call(item)`` for each item, in order; the first error ends it, and what was not begun is dropped.

    Args:
        call: has to bear being called from several threads at once.
        items: taken a few ahead of what is yielded.
        threads: calls at once; 1 makes them one by one in this thread.
        ahead: calls that wait for a thread, or for being asked for: what bounds the memory.
        name: of the threads.
    """
    if threads == 1:
        yield from map(call, items)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        remaining = iter(items)
        pending: deque[Future[B]] = deque(pool.submit(call, item) for item in islice(remaining, threads + ahead))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(call, item) for item in islice(remaining, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
