"""Networks by the name of their architecture."""

from typing import Any

import torch
from torch import nn

from synthface.recognition.network_config import NetworkConfig
from synthface.recognition.networks.iresnet import IResNet
from synthface.recognition.networks.mobilefacenet import MobileFaceNet, initialise
from synthface.recognition.networks.patch_resnet import PatchResNet
from synthface.recognition.networks.pocketnet import PocketNet
from synthface.recognition.quantisation import quantise_layers

Network = Any  # a module with a ``config``: one of those above, or somebody else's behind ``foreign``

_FAMILIES = {"MobileFaceNet": MobileFaceNet, "IResNet": IResNet, "PocketNet": PocketNet, "PatchResNet": PatchResNet}


def build_network(config: NetworkConfig, *, seed: int | None = None) -> Network:
    """Build the network that a config describes.

    Args:
        config: what it looks like.
        seed: draw fresh weights from it; None leaves memory as it comes, for weights that are loaded.
    """
    family = config.architecture.partition("-")[0]
    with torch.random.fork_rng():  # the constructors draw weights that are replaced; the caller's stream is untouched
        network: nn.Module = _FAMILIES[family](config)
    if seed is not None:
        initialise(network, seed)
    if config.bits is not None:
        quantise_layers(network, config.bits)
    return network
