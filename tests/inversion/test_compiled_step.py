"""A compiled step against the eager one: the same numbers, from one graph for all groups."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from inversion import InversionConfig, invert
from inversion.result import InversionResult


def _both(tiny: nn.Module, targets: np.ndarray, config: InversionConfig) -> tuple[InversionResult, InversionResult]:
    torch._dynamo.reset()
    return invert(tiny, targets, config=config), invert(tiny, targets, config=config, compile_step=True)


def _assert_same(eager: InversionResult, compiled: InversionResult) -> None:
    for name, values in eager.history.items():
        np.testing.assert_allclose(compiled.history[name], values, rtol=2e-3, atol=2e-4, err_msg=name)
    different = np.abs(eager.images.astype(int) - compiled.images.astype(int))
    assert np.percentile(different, 99) <= 2  # Adam divides tiny gradients by their size: a few pixels may part


@pytest.mark.parametrize(
    "changes",
    [{"statistics_momentum": 0.5}, {"prior_form": "deepinversion", "depth_weights": (2.0, 0.5)}, {"prior_weight": 0.0}],
)
def test_step_is_one_graph_that_computes_the_same(
    tiny: nn.Module,
    targets: np.ndarray,
    quick: InversionConfig,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
) -> None:
    """Traced forward and backward as for the compiler, but run without generating code."""
    traced = partial(torch.compile, backend="aot_eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", traced)
    config = replace(quick, steps=3, sides=(112,), stage_shares=(1.0,), **changes)
    with torch._dynamo.config.patch(error_on_recompile=True):  # neither the second step nor the second group
        _assert_same(*_both(tiny, targets[:4], config))


@pytest.mark.shared
@pytest.mark.usefixtures("shared")
def test_generated_code_computes_the_same(tiny: nn.Module, targets: np.ndarray, quick: InversionConfig) -> None:
    config = replace(quick, steps=4, group_size=5, sides=(112,), stage_shares=(1.0,))
    _assert_same(*_both(tiny, targets, config))
