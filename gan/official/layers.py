"""Which official layer each of our layers is, and what both must say alike about themselves."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from gan.networks.activation import SQRT2
from gan.networks.discriminator import Discriminator, ResidualBlock
from gan.networks.generator import Generator
from gan.networks.layers import Convolution, FullyConnected
from gan.networks.mapping import ClassEmbedding, Mapping
from gan.networks.synthesis import Block, StyledConvolution, ToRgb

# Tensors have the official names but for this one.
OFFICIAL_TENSOR_NAME = {"w_average": "w_avg"}
# The one official layer without a counterpart in our tree: our discriminator calls a function there.
MINIBATCH_LAYER = "b4.mbstd"


def generator_layers(G: Generator) -> Iterator[tuple[str, nn.Module]]:
    """Yield the path of each official generator layer with ours."""
    yield from _mapping_layers(G.mapping)
    for resolution, block in zip(G.config.block_resolutions, G.synthesis.blocks, strict=True):
        path = f"synthesis.b{resolution}"
        yield path, block
        if not block.is_first:
            yield f"{path}.conv0", block.up_convolution
            yield f"{path}.conv0.affine", block.up_convolution.affine
        yield f"{path}.conv1", block.convolution
        yield f"{path}.conv1.affine", block.convolution.affine
        yield f"{path}.torgb", block.to_rgb
        yield f"{path}.torgb.affine", block.to_rgb.affine


def discriminator_layers(D: Discriminator) -> Iterator[tuple[str, nn.Module]]:
    """Yield the path of each official discriminator layer with ours."""
    if D.mapping is not None:
        yield from _mapping_layers(D.mapping)
    resolution = 4 * 2 ** len(D.blocks)
    yield f"b{resolution}.fromrgb", D.from_rgb
    for block in D.blocks:
        assert isinstance(block, ResidualBlock)
        path = f"b{resolution}"
        yield path, block
        yield f"{path}.conv0", block.first
        yield f"{path}.conv1", block.second
        yield f"{path}.skip", block.skip
        resolution //= 2
    yield "b4.conv", D.convolution
    yield "b4.fc", D.hidden
    yield "b4.out", D.out


def _mapping_layers(mapping: Mapping) -> Iterator[tuple[str, nn.Module]]:
    yield "mapping", mapping
    if mapping.embed is not None:
        yield "mapping.embed", mapping.embed
    for index, layer in enumerate(mapping.layers):
        yield f"mapping.fc{index}", layer


def official_attributes(layer: nn.Module) -> dict[str, Any]:
    """Return what an official layer must say of itself in order to compute what ours does."""
    match layer:
        case Mapping():
            return {"z_dim": layer.z_dim, "c_dim": layer.n_classes, "num_layers": len(layer.layers)}
        case FullyConnected():
            activation = "lrelu" if layer.activate else "linear"
            return {"activation": activation, "weight_gain": layer.weight_gain, "bias_gain": layer.bias_gain}
        case ClassEmbedding():
            return {"activation": "linear", "weight_gain": layer.scale, "bias_gain": 1}
        case StyledConvolution():
            return {
                "activation": "lrelu",
                "act_gain": SQRT2,
                "conv_clamp": layer.clamp or None,
                "up": 2 if layer.up else 1,
                "use_noise": True,
            }
        case ToRgb():
            return {"conv_clamp": layer.clamp or None, "weight_gain": layer.style_gain}
        case Convolution():
            return {
                "activation": "lrelu" if layer.activate else "linear",
                "conv_clamp": layer.clamp or None,
                "up": 1,
                "down": 2 if layer.down else 1,
                "weight_gain": layer.weight_gain,
            }
        case Block():
            return {"architecture": "skip"}
        case ResidualBlock():
            return {"architecture": "resnet"}
    raise TypeError(f"no official counterpart of {type(layer).__name__}")
