"""A hundred thousand targets: what a group took is gone when the next one is finished."""

import gc
import weakref
from dataclasses import replace

import numpy as np
from torch import nn

from inversion import InversionConfig, inversion_steps


def test_nothing_of_a_finished_group_stays(tiny: nn.Module, quick: InversionConfig) -> None:
    """100,000 targets: the plan is their vectors, and groups come and go one by one."""
    many = np.random.default_rng(0).normal(size=(100_000, 8)).astype(np.float32)
    steps = inversion_steps(tiny, many, replace(quick, steps=1, group_size=16, sides=(112,), stage_shares=(1.0,)))
    held: list[weakref.ref] = []
    for number in range(4):
        report = next(steps)
        assert report.group == number
        gc.collect()
        assert all(part() is None for part in held)
        held = [weakref.ref(part) for part in (report, report.finished, report.finished.images)]
        held.append(weakref.ref(report.images_now.func.__self__))  # variable, optimiser and views of the group
    steps.close()
