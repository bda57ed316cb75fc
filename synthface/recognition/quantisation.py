"""Simulated low-precision arithmetic, as in QuantFace (arXiv 2206.10526): rounding with a straight-through gradient.

``quantise_layers`` puts it into a network: weights and inputs of every convolution and linear map are rounded; batch
norms, biases, PReLU slopes and what a skip carries are not. QuantFace rounds what activations and blocks give out, and
the slopes, but not the image.

With b bits and the range [low, high]: S = (2^b - 1) / (high - low), Z = round(S low) + 2^(b-1),
q = clamp(round(S x - Z), -2^(b-1), 2^(b-1) - 1), and the value is (q + Z) / S.
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
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
        rounded = _value(_level(x, low, high, bits), low, high, bits)
    return x + (rounded - x.detach())


def _level(x: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    """Return q, the level of each value."""
    scale, offset = _scale_and_offset(low, high, bits)
    return torch.round(scale * x - offset).clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _value(level: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    scale, offset = _scale_and_offset(low, high, bits)
    return (level + offset) / scale


def _scale_and_offset(low: Tensor, high: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return S and Z of the module's formula."""
    scale = (2**bits - 1) / (high - low).clamp_min(_LEAST_WIDTH)
    return scale, torch.round(scale * low) + 2 ** (bits - 1)


def quantise_weight(weight: Tensor, bits: int) -> Tensor:
    """Round a weight [C_out, ...] channel by channel, each over its own range."""
    return fake_quantise(weight, *_channel_ranges(weight), bits)


def _channel_ranges(weight: Tensor) -> tuple[Tensor, Tensor]:
    flat = weight.detach().flatten(1)
    shape = (-1, *[1] * (weight.ndim - 1))
    return flat.amin(dim=1).view(shape), flat.amax(dim=1).view(shape)


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
        self._is_frozen = False  # known here too: asking an accelerator for the step would wait for it

    def forward(self, x: Tensor) -> Tensor:
        """Return the rounded activations, of the same shape."""
        if self.training and not self._is_frozen:
            self._is_frozen = int(self.step) >= self.freeze_after
        if self.training and not self._is_frozen:
            self.step += 1
            seen = _across_processes(torch.stack((-x.detach().amin(), x.detach().amax())))
            self.low.copy_(torch.minimum(self.low, -seen[0]))
            self.high.copy_(torch.maximum(self.high, seen[1]))
        return fake_quantise(x, self.low, self.high, self.bits)


def _across_processes(largest: Tensor) -> Tensor:
    """Return the largest of all processes' values, each its own."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return largest


class QuantisedLayer(nn.Module):
    """A convolution or linear map whose input and weight are rounded.

    Args:
        layer: what computes; its weight stays in float, and is rounded anew whenever it is used.
        bits: of inputs and weights.
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear, bits: int) -> None:
        super().__init__()
        self.layer = layer
        self.input = ActivationQuantiser(bits)
        self.bits = bits

    def forward(self, x: Tensor) -> Tensor:
        """Compute what the layer computes, rounded; in float32 also where autocast would not."""
        layer = self.layer
        with torch.autocast(x.device.type, enabled=False):
            weight, rounded = quantise_weight(layer.weight, self.bits), self.input(x.float())
            if isinstance(layer, nn.Linear):
                return F.linear(rounded, weight, layer.bias)
            shape = (layer.stride, layer.padding, layer.dilation, layer.groups)
            return F.conv2d(rounded, weight, layer.bias, *shape)  # type: ignore[arg-type]  # padding may be a name


def quantise_layers(network: nn.Module, bits: int) -> None:
    """Replace every convolution and linear map of a network by a ``QuantisedLayer``, in place."""
    for module in list(network.modules()):
        for name, layer in list(module.named_children()):
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                setattr(module, name, QuantisedLayer(layer, bits))


def quantised_weights(network: nn.Module) -> dict[str, "QuantisedLayer"]:
    """Return the layers with rounded weights, by the name of their weight in the network's state."""
    return {
        f"{name}.layer.weight": module for name, module in network.named_modules() if isinstance(module, QuantisedLayer)
    }


def to_codes(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return a weight [C_out, ...] as whole numbers from 0 to 2^bits - 1, and [C_out, 2] the range of each channel."""
    low, high = _channel_ranges(weight)
    codes = _level(weight.detach(), low, high, bits) + 2 ** (bits - 1)
    return codes.to(torch.uint8), torch.stack((low.flatten(), high.flatten()), dim=1)


def from_codes(codes: Tensor, ranges: Tensor, bits: int) -> Tensor:
    """Return the rounded weight that ``to_codes`` told of."""
    low, high = (ranges[:, k].view(-1, *[1] * (codes.ndim - 1)) for k in range(2))
    return _value(codes.to(ranges.dtype) - 2 ** (bits - 1), low, high, bits)
