"""The synthesis network with weights that stand still, for sampling: the same images in less time.

What depends on the weights alone is computed once, nothing is kept for gradients, and so activations are overwritten.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gan.networks.activation import SLOPE, SQRT2
from gan.networks.resample import upsample_blur, upsample_image
from gan.networks.synthesis import StyledConvolution, Synthesis
from gan.sampling import winograd


class FrozenSynthesis:
    """Draws what a ``Synthesis`` draws, to rounding, as long as its weights are not changed; in full precision.

    Args:
        synthesis: on its device.
        noise: fixed noise images, [1, 1, H, W] for each styled convolution; None for no noise.
    """

    def __init__(self, synthesis: Synthesis, noise: Sequence[Tensor] | None) -> None:
        self.blocks = synthesis.blocks
        self.layers = [_FrozenConvolution(layer) for layer in synthesis.styled]
        self.shifts = self._shifts(noise or [None] * len(self.layers))

    def __call__(self, ws: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Draw images [N, 3, resolution, resolution] for ws [N, n_w, w_dim]; ``noise`` replaces the fixed one."""
        shifts = self.shifts if noise is None else self._shifts(noise)
        x = self.blocks[0].const.expand(len(ws), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        image: Tensor | None = None
        index = 0
        for block in self.blocks:
            for _ in block.styled:
                x = self.layers[index](x, ws[:, index], shifts[index])
                index += 1
            colours = block.to_rgb(x, ws[:, index])
            image = colours if image is None else colours.add_(upsample_image(image))
        assert image is not None
        return image

    def _shifts(self, noise: Sequence[Tensor | None]) -> list[Tensor]:
        return [layer.layer.shift(part) for layer, part in zip(self.layers, noise, strict=True)]


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
