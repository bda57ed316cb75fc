"""Simulated low-precision arithmetic, as in QuantFace (arXiv 2206.10526): rounding with a straight-through gradient.

With b bits and the range [low, high]: S = (2^b - 1) / (high - low), Z = round(S low) + 2^(b-1),
q = clamp(round(S x - Z), -2^(b-1), 2^(b-1) - 1), and the value is (q + Z) / S.
"""

import torch
from torch import Tensor, nn

from synthface.core.errors import ConfigError

_LEAST_WIDTH = 1e-8
FREEZE_AFTER = 300  # training steps over which the authors watch the ranges


def fake_quantise(x: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    """Return values rounded to 2^bits levels of a range that broadcasts; the gradient passes unchanged.

    Raises:
        ConfigError: bits outside 2 to 16.
    """
    if not 2 <= bits <= 16:
        raise ConfigError(f"{bits} bits: give 2 to 16")
    with torch.no_grad():
        scale = (2**bits - 1) / (high - low).clamp_min(_LEAST_WIDTH)
        offset = torch.round(scale * low) + 2 ** (bits - 1)
        q = torch.round(scale * x - offset).clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        rounded = (q + offset) / scale
    return x + (rounded - x.detach())


def quantise_weight(weight: Tensor, bits: int) -> Tensor:
    """Round a weight [C_out, ...] channel by channel, each over its own range."""
    flat = weight.detach().flatten(1)
    shape = (-1, *[1] * (weight.ndim - 1))
    return fake_quantise(weight, flat.amin(dim=1).view(shape), flat.amax(dim=1).view(shape), bits)


class ActivationQuantiser(nn.Module):
    """Rounds activations over a range that is watched for some training steps and then frozen.

    The range starts at [0, 0], so it always contains 0. It and the count are buffers: a resumed training goes on.

    Args:
        bits: of a value.
        freeze_after: training steps until the range is fixed.
    """

    low: Tensor
    high: Tensor
    step: Tensor

    def __init__(self, bits: int, *, freeze_after: int = FREEZE_AFTER) -> None:
        super().__init__()
        self.bits, self.freeze_after = bits, freeze_after
        for name in ("low", "high"):
            self.register_buffer(name, torch.zeros(()))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """Return the rounded activations, of the same shape."""
        if self.training and int(self.step) < self.freeze_after:
            self.step += 1
            self.low.copy_(torch.minimum(self.low, x.detach().amin()))
            self.high.copy_(torch.maximum(self.high, x.detach().amax()))
        return fake_quantise(x, self.low, self.high, self.bits)
