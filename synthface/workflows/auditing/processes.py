"""One process or several: who computes, who waits, and by which search."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from synthface.workflows.compute import Compute, launch_fabric

if TYPE_CHECKING:
    from synthface.privacy.search import Search


def fabric_of(compute: Compute) -> Any:
    """Return the launched Fabric, or None for one process on the CPU, which needs none."""
    alone = compute.devices * compute.nodes == 1 and compute.device == "cpu" and "WORLD_SIZE" not in os.environ
    return None if alone else launch_fabric(compute)


@contextmanager
def first_process_first(fabric: Any) -> Iterator[None]:
    """Let the first process fill a cache that the others then read."""
    if fabric is not None and not fabric.is_global_zero:
        fabric.barrier()
    yield
    if fabric is not None and fabric.is_global_zero:
        fabric.barrier()


def search_of(fabric: Any) -> "Search":
    """Return the search that suits the devices; with several, finished shards are kept in the cache."""
    from synthface.core.cache_folder import cache_folder
    from synthface.privacy.search import search
    from synthface.workflows.auditing.distributed_search import distributed_search

    return search if fabric is None else distributed_search(fabric, cache_folder("searches"))
