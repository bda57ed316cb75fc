"""Which discriminator a training has: the ordinary one, one on a frozen network's features, or both."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Protocol

from torch import Tensor, nn

from gan.config import NetworkConfig, TrainingConfig
from gan.networks.discriminator import Discriminator
from gan.networks.feature_discriminator import DiscriminatorPair, FeatureDiscriminator
from synthface.core.errors import ConfigError


class FrozenFeatures(Protocol):
    """A frozen network that shows its maps."""

    @property
    def sha256(self) -> str:
        """Hash of its weights: heads that were trained on the maps of one network see nothing in another's."""
        ...

    @property
    def shapes(self) -> Sequence[tuple[int, int]]:
        """Channels and side of each map."""
        ...

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """[N, 3, S, S] about [-1, 1] -> maps [N, C, r, r], finest first; differentiable by the images."""
        ...


def build_discriminator(
    network: NetworkConfig, training: TrainingConfig, n_classes: int, features: FrozenFeatures | None
) -> nn.Module:
    """Return a module from images and labels to logits [N, K], as ``Discriminator.forward`` takes them.

    Raises:
        ConfigError: the settings ask for a feature discriminator, and there are no features.
    """
    mode = training.features.mode
    if mode == "off":
        return _ordinary(network, training, n_classes)
    if features is None:
        raise ConfigError(f"--training.features.mode {mode} needs a frozen network; none was given")
    second = FeatureDiscriminator(
        features,
        features.shapes,
        training.features,
        n_classes,
        class_scale=network.class_scale,
        group_size=network.group_size,
    )
    if mode == "instead":
        return second
    return DiscriminatorPair(_ordinary(_narrowed(network, training.features.pixel_share), training, n_classes), second)


def features_mode(names: Iterable[str]) -> str:
    """Return the ``FeatureConfig.mode`` of the discriminator whose parameters have these names."""
    found = list(names)
    if any(name.startswith("second.") for name in found):
        return "beside"
    return "instead" if any(name.startswith("mixing.") for name in found) else "off"


def _ordinary(network: NetworkConfig, training: TrainingConfig, n_classes: int) -> Discriminator:
    D = Discriminator(network, n_classes)
    D.half_from = training.half_from
    return D


def _narrowed(network: NetworkConfig, share: float) -> NetworkConfig:
    base, most = (max(1, round(share * count)) for count in (network.channel_base, network.channel_max))
    return dataclasses.replace(network, channel_base=base, channel_max=most)
