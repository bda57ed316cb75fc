"""The variable that a group starts with."""

from collections.abc import Sequence

import torch
from torch import Tensor

from inversion.config import InversionConfig
from inversion.drawn_face import draw_face
from inversion.images import resize
from inversion.schedule import plan_stages
from inversion.variables.fourier import FourierVariable
from inversion.variables.generator import GeneratorPrior, LatentVariable
from inversion.variables.pixels import PixelVariable
from inversion.variables.variable import Variable


def start_variable(
    config: InversionConfig,
    seed: int,
    members: Sequence[str],
    device: torch.device,
    *,
    generator: GeneratorPrior | None = None,
    image: Tensor | None = None,
) -> Variable:
    """Return latents where there is a generator to begin with, otherwise what the config says.

    Args:
        config: kind of variable, its first side, and the noise.
        seed: seed of the noise.
        members: whose noise.
        device: where to put the variable.
        generator: its latents come first.
        image: [3, S, S] to start from, instead of what the config says.
    """
    first = plan_stages(config, generator=generator is not None)[0]
    if generator is not None and first.latent:
        return LatentVariable.from_noise(generator, config.start_std, seed, members, device)
    if image is None and config.start == "drawn_face":
        image = draw_face()
    base = None if image is None else resize(image[None].to(device, torch.float32), first.side)
    if config.variable == "fourier":
        return FourierVariable.from_noise(first.side, config.start_std, seed, members, device, base=base)
    return PixelVariable.from_noise(
        first.side, config.start_std, seed, members, device, base=base, common=config.common_image
    )
