"""The synthesis network with weights that stand still, for sampling: the same images in less time.

What depends on the weights alone is computed once, nothing is kept for gradients, and so activations are overwritten.
"""

import sys
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gan.networks.activation import SLOPE, SQRT2
from gan.networks.resample import upsample_blur, upsample_image
from gan.networks.synthesis import Block, StyledConvolution, Synthesis
from gan.sampling import winograd

_AT_ONCE = 4 * 2**20  # bytes of activations that a block passes on at once: what the processor's cache has room for


class FrozenSynthesis:
    """Draws what a ``Synthesis`` draws, to rounding, as long as its weights are not changed; in full precision.

    On a CPU the blocks of high resolutions go through few images at a time, so that activations stay in the cache.

    Args:
        synthesis: on its device.
        noise: fixed noise images, [1, 1, H, W] for each styled convolution; None for no noise.
    """

    def __init__(self, synthesis: Synthesis, noise: Sequence[Tensor] | None) -> None:
        self.const = synthesis.blocks[0].const
        self.blocks: list[_FrozenBlock] = []
        for block in synthesis.blocks:
            first = sum(len(before.layers) for before in self.blocks)
            fixed = noise[first : first + len(block.styled)] if noise else [None] * len(block.styled)
            self.blocks.append(_FrozenBlock(block, first, fixed))

    def __call__(self, ws: Tensor, noise: Sequence[Tensor] = ()) -> Tensor:
        """Draw images [N, 3, resolution, resolution].

        Args:
            ws: [N, n_w, w_dim].
            noise: in place of the fixed noise, [N, 1, H, W] for each styled convolution.
        """
        x = self.const.expand(len(ws), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        return self._draw(0, x, x.new_zeros(len(x), 3, x.shape[2] // 2, x.shape[3] // 2), ws, noise)

    def _draw(self, depth: int, x: Tensor, image: Tensor, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Go on from what the blocks before ``depth`` have drawn."""
        if depth == len(self.blocks):
            return image
        block, n = self.blocks[depth], len(ws)
        if n <= block.at_once:
            return self._draw(depth + 1, *block(x, image, ws, noise), ws, noise)
        groups = [slice(first, first + block.at_once) for first in range(0, n, block.at_once)]
        return torch.cat([self._draw(depth, x[g], image[g], ws[g], [part[g] for part in noise]) for g in groups])


class _FrozenBlock:
    def __init__(self, block: Block, first: int, noise: Sequence[Tensor | None]) -> None:
        self.layers, self.to_rgb = [_FrozenConvolution(layer) for layer in block.styled], block.to_rgb
        self.layer_indices = range(first, first + len(self.layers))
        self.shifts = [layer.shift(part) for layer, part in zip(block.styled, noise, strict=True)]
        weight = block.convolution.weight
        size = len(weight) * block.resolution**2 * weight.element_size()
        self.at_once = max(1, _AT_ONCE // size) if weight.device.type == "cpu" else sys.maxsize

    def __call__(self, x: Tensor, image: Tensor, ws: Tensor, noise: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return activations and image at this block's resolution; overwrites ``x``."""
        for layer, shift, index in zip(self.layers, self.shifts, self.layer_indices, strict=True):
            x = layer(x, ws[:, index], layer.layer.shift(noise[index]) if noise else shift)
        return x, self.to_rgb(x, ws[:, self.layer_indices.stop]).add_(upsample_image(image))


class _FrozenConvolution:
    def __init__(self, layer: StyledConvolution) -> None:
        self.layer, weight = layer, layer.weight
        self.energy = weight.square().sum(dim=(2, 3)).t().contiguous()
        self.affine = layer.affine.weight * layer.affine.weight_gain, layer.affine.bias * layer.affine.bias_gain
        is_fast = not layer.up and winograd.pays(weight, layer.noise_const.shape[-1])
        self.winograd_kernel = winograd.transform_weight(weight) if is_fast else None
        # As the transposed convolution wants it; it would be brought into this order at every call.
        self.up_kernel = weight.transpose(0, 1).contiguous(memory_format=torch.channels_last) if layer.up else None

    def __call__(self, x: Tensor, w: Tensor, shift: Tensor) -> Tensor:
        """As the layer's own ``forward``; overwrites ``x``."""
        layer = self.layer
        styles = F.linear(w, *self.affine)
        x.mul_(styles[:, :, None, None])
        if self.winograd_kernel is not None:
            x = winograd.convolve(x, self.winograd_kernel)
        elif self.up_kernel is not None:
            x = upsample_blur(F.conv_transpose2d(x, self.up_kernel, stride=2))
        else:
            x = F.conv2d(x, layer.weight, padding=1)
        scale = (styles.square() @ self.energy + 1e-8).rsqrt_().mul_(SQRT2)
        x = F.leaky_relu_(torch.addcmul(shift, x, scale[:, :, None, None], out=x), SLOPE)
        return x.clamp_(-layer.clamp, layer.clamp) if layer.clamp else x
