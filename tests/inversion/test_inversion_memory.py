"""A hundred thousand targets: memory that does not grow, group after group."""

import tracemalloc
from dataclasses import replace

import numpy as np
from torch import nn

from inversion import InversionConfig, inversion_steps


def test_memory_does_not_grow_with_the_number_of_targets(tiny: nn.Module, quick: InversionConfig) -> None:
    """100,000 targets: the plan is their vectors, and groups come and go one by one."""
    many = np.random.default_rng(0).normal(size=(100_000, 8)).astype(np.float32)
    steps = inversion_steps(tiny, many, replace(quick, steps=1, group_size=16, sides=(112,), stage_shares=(1.0,)))
    reports = []
    for _ in range(2):
        reports.append(next(steps).group)
    tracemalloc.start()
    reports.append(next(steps).group)
    settled, _ = tracemalloc.get_traced_memory()
    for _ in range(4):
        reports.append(next(steps).group)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    steps.close()
    assert reports == list(range(7))
    assert grown - settled < 4 * 16 * 112 * 112 * 3 / 2  # the images of the groups in between are gone
