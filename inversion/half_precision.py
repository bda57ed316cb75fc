"""Convolutions in bfloat16; whatever lies between them, statistics and the images' gradients stay in float32.

Processors with bfloat16 instructions multiply twice as fast in it, and the features, which the other passes of a step
read and write, take half the memory.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn


@contextmanager
def half_convolutions(model: nn.Module) -> Iterator[None]:
    """Let a frozen model's convolutions multiply bfloat16 numbers; undo it at the end.

    What they give is widened again: by the batch norm after them where ``BatchNormStatistics``, to be opened before,
    has changed it, since its moments are taken as quickly from narrow numbers; otherwise at once. A depthwise
    convolution that strides stays as it is: oneDNN has no quick gradient of it in bfloat16.
    """
    parts = [part for part in model.modules() if next(part.children(), None) is None]
    changed = []
    for layer, after in pairwise([*parts, None]):
        if type(layer) is nn.Conv2d and "forward" not in vars(layer) and (layer.groups == 1 or max(layer.stride) == 1):
            widened_after = isinstance(after, nn.BatchNorm2d) and "forward" in vars(after)
            layer.forward = _half_forward(layer, widen=not widened_after)  # type: ignore[method-assign, assignment]
            changed.append(layer)
    try:
        yield
    finally:
        for layer in changed:
            del vars(layer)["forward"]


def _half_forward(layer: nn.Conv2d, *, widen: bool) -> Callable[[Tensor], Tensor]:
    weight = layer.weight.detach().to(torch.bfloat16, memory_format=torch.channels_last)
    bias = None if layer.bias is None else layer.bias.detach().bfloat16()

    def forward(features: Tensor) -> Tensor:
        narrow = layer._conv_forward(features.bfloat16(), weight, bias)  # with its padding, whatever that is
        return narrow.float() if widen else narrow

    return forward
