"""Which weights of another generator or discriminator fit one's own, and how those of a network without classes do."""

import math
from collections.abc import Mapping

from torch import Tensor, nn

from gan.config import NetworkConfig
from gan.networks.discriminator import Discriminator
from gan.networks.generator import Generator
from synthface.core.errors import ConfigError

_CLASS_ROWS = "mapping.embed.weight"
_FIRST_LAYER = "mapping.layers.0.weight"
_CHANNELS = ("channel_base", "channel_max")  # two ways to say what the layers have
_ALONE = ("group_size",)  # of the discriminator alone


def fitting_generator_state(G: Generator, own: Generator, *, with_classes: bool) -> dict[str, Tensor]:
    """Return what to load into ``own`` to draw what ``G`` draws; of the same sizes, see ``require_same_generator``.

    A generator without classes draws the same images for every class at first: its first layer is given weights of 0
    for the class, which the training moves.

    Raises:
        ConfigError: ``G`` has classes and ``own`` has none.
    """
    if G.n_classes and not own.n_classes:
        raise ConfigError(f"--init: that generator has {G.n_classes} classes; the faces have 0")
    state = dict(G.state_dict())
    if own.n_classes and not G.n_classes:
        state[_FIRST_LAYER] = _blind_to_further_inputs(state[_FIRST_LAYER], own.w_dim)
    elif not with_classes:
        state.pop(_CLASS_ROWS, None)
    return own.state_dict() | state


def fitting_discriminator_state(D: Discriminator, own: nn.Module) -> dict[str, Tensor]:
    """Return what to load into ``own`` to see what ``D`` sees; its rows of other people are left out.

    Of a discriminator without classes all but its last layer, whose one logit is no feature to compare with a class.

    Raises:
        ConfigError: ``own`` has other sizes or other parts.
    """
    state, mine = dict(D.state_dict()), own.state_dict()
    state.pop(_CLASS_ROWS, None)
    if D.mapping is None:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("out.")}
    differing = first_difference(state, {name: mine[name] for name in state if name in mine})
    if differing:
        raise ConfigError(
            f"--init: the discriminator of that file has other sizes or parts ({differing}); give its --network.* and "
            "--training.features.mode off, or take its generator alone by 'synthface import-gan' and give that"
        )
    return mine | state


def require_same_generator(own: NetworkConfig, other: NetworkConfig, *, with_classes: bool = True) -> None:
    """Refuse a generator that computes something else, and say which settings compute the same.

    Args:
        own: the sizes asked for.
        other: the sizes of the other generator.
        with_classes: it has classes, so that their scale is part of what it computes.
    """
    ignored = {*_ALONE, *(_CHANNELS if _same_channels(own, other) else ()), *(() if with_classes else ["class_scale"])}
    differing = [name for name, value in vars(own).items() if name not in ignored and value != getattr(other, name)]
    if differing:
        wanted = " ".join(f"--network.{name} {getattr(other, name)}" for name in differing)
        raise ConfigError(f"--init: that generator has other sizes or settings; give {wanted}")


def first_difference(other: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """Say which tensor of two states is the first to have another shape, or to be in one of them alone."""
    shapes = [{name: tuple(tensor.shape) for name, tensor in state.items()} for state in (other, own)]
    for name in dict.fromkeys([*other, *own]):
        there, here = (held.get(name, "missing") for held in shapes)
        if there != here:
            return f"{name}: {there}, here {here}"
    return ""


def _same_channels(own: NetworkConfig, other: NetworkConfig) -> bool:
    resolutions = own.block_resolutions
    return resolutions == other.block_resolutions and all(own.channels(r) == other.channels(r) for r in resolutions)


def _blind_to_further_inputs(weight: Tensor, n_more: int) -> Tensor:
    """[O, I] -> [O, I + n]: the same function of the first I inputs, in a layer that divides by the root of all."""
    n_out, n_in = weight.shape
    wider = weight.new_zeros(n_out, n_in + n_more)
    wider[:, :n_in] = weight * math.sqrt((n_in + n_more) / n_in)
    return wider
