"""The audit's search on any device, and over the processes of Lightning Fabric."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.gallery import Gallery
from synthface.privacy.search import Arrays, Blocks, NumpyArrays, Search, SearchResult, ShardedSearch
from synthface.privacy.search.arrays import float32_rounding

CPU_BLOCKS = Blocks()
GPU_BLOCKS = Blocks(people=8192, queries=8192)  # two blocks of float32 scores are 512 MB


class TorchArrays:
    """Arrays of torch, on any of its devices; see ``synthface.privacy.search.Arrays``."""

    def __init__(self, device: Any) -> None:
        import torch

        self.device = torch.device(device)

    def put(self, values: NDArray[np.float32]) -> Any:
        """Copy to the device."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def get(self, values: Any) -> NDArray[Any]:
        """Return the values as a numpy array."""
        array: NDArray[Any] = values.cpu().numpy()
        return array

    def empty(self, size: int) -> Any:
        """Return [size] float32 values, not yet set."""
        import torch

        return torch.empty(size, device=self.device)

    def scores(self, first: Any, second: Any, out: Any) -> None:
        """Write first @ second."""
        import torch

        torch.mm(first, second, out=out)

    def maximum(self, first: Any, second: Any, out: Any) -> None:
        """Write the larger of two values, each with each."""
        import torch

        torch.maximum(first, second, out=out)

    def largest(self, values: Any, axis: int) -> Any:
        """Return the largest values along an axis."""
        return values.amax(dim=axis)

    def nonzero(self, mask: Any) -> tuple[Any, ...]:
        """Return the indices of the true values."""
        return tuple(mask.nonzero(as_tuple=True))

    def rounding(self, dimensions: int) -> float:
        """Return the largest error of a score; more where products are made of shortened numbers (TF32 and others)."""
        import torch

        if torch.get_float32_matmul_precision() == "highest":
            return float32_rounding(dimensions)
        return float32_rounding(dimensions) + 2.0**-7  # each number cut to 8 bits at worst (bfloat16)


def distributed_search(fabric: Any, folder: Path) -> Search:
    """Return a ``search`` that every process calls with the same arguments and that gives all of them the result.

    Args:
        fabric: launched Lightning Fabric; shards are dealt out over its processes.
        folder: on a disk that all processes share; keeps the finished shards of each search, so that a stopped run goes
            on. What a process does not find there it computes itself.
    """
    on_cpu = fabric.device.type == "cpu"
    arrays: Arrays = NumpyArrays() if on_cpu else TorchArrays(fabric.device)
    blocks = CPU_BLOCKS if on_cpu else GPU_BLOCKS

    def search(gallery: Gallery, queries: NDArray[np.float32], top: int) -> SearchResult:
        plan = ShardedSearch(gallery, queries, top, blocks=blocks, arrays=arrays)
        plan = dataclasses.replace(plan, folder=folder / plan.inputs_sha256[:16])
        for shard in plan.shards[fabric.global_rank :: fabric.world_size]:
            plan.run(shard)
        fabric.barrier()
        return plan.result()

    return search
