"""Sizes of the networks and settings of the training; every default of ``gan`` stands here."""

import math
from dataclasses import dataclass, field
from typing import Literal

from synthface.core.errors import ConfigError


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of generator and discriminator.

    Args:
        resolution: side of the images in pixels, a power of two from 8 to 1024.
        z_dim: size of the latent z.
        w_dim: size of the intermediate latent w and of the class embedding.
        mapping_layers: fully connected layers from (z, class) to w.
        channel_base: a layer at resolution r has channel_base / r channels ...
        channel_max: ... but never more than this.
        class_scale: factor on a class's learnt row before it is normalised; 0 means 1/sqrt(classes), the one-hot
            formula of StyleGAN2-ADA, where with many classes the shared bias soon outweighs the row.
        clamp: activations are clipped to +- this value; 0 is off.
    """

    resolution: int = 64
    z_dim: int = 256
    w_dim: int = 256
    mapping_layers: int = 2
    channel_base: int = 2048
    channel_max: int = 128
    class_scale: float = 1.0
    clamp: float = 0.0

    def __post_init__(self) -> None:
        if self.resolution not in (8, 16, 32, 64, 128, 256, 512, 1024):
            raise ConfigError(f"--network.resolution {self.resolution}: give a power of two from 8 to 1024")
        if min(self.w_dim, self.mapping_layers, self.channel_base, self.channel_max) < 1 or self.z_dim < 0:
            raise ConfigError("--network.*: sizes are positive")

    @property
    def block_resolutions(self) -> list[int]:
        """Resolutions of the blocks: 4, 8, ... up to the image's."""
        return [2**k for k in range(2, int(math.log2(self.resolution)) + 1)]

    def channels(self, resolution: int) -> int:
        """Channels of the layers at a resolution."""
        return max(1, min(self.channel_base // resolution, self.channel_max))


@dataclass(frozen=True)
class AdaConfig:
    """Adaptive discriminator augmentation (arXiv 2006.06676, section 3).

    Args:
        mode: adaptive follows r_t to its target, fixed keeps p at its start, none leaves augmentation out.
        start: p at the beginning.
        target: value of r_t = E[sign D(real)] to hold.
        interval: steps between two adjustments of p.
        kimg: thousand images in which p can move by 1.
    """

    mode: Literal["adaptive", "fixed", "none"] = "adaptive"
    start: float = 0.0
    target: float = 0.6
    interval: int = 4
    kimg: float = 100.0

    def __post_init__(self) -> None:
        if not 0 <= self.start <= 1:
            raise ConfigError(f"--training.ada.start {self.start}: give a probability from 0 to 1")
        if self.interval < 1 or self.kimg <= 0:
            raise ConfigError("--training.ada: interval and kimg are positive")


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the training loop.

    Args:
        batch: images a step, over all processes.
        micro_batch: images computed at once; a multiple of 4, and the unit of work that processes share.
        learning_rate: Adam's, for both networks.
        r1_gamma: weight of the R1 gradient penalty on real images.
        r1_interval: steps between two penalties (lazy regularisation).
        style_mixing: probability that an image takes its later layers from a second z.
        ema_kimg: half life of the generator's moving average, in thousand images.
        ema_rampup: the half life is never more than this share of the images seen.
        mirror: show real images mirrored half of the time.
        sampling: classes drawn as often as they have images (natural), all alike (balanced), or in between (sqrt).
        ada: adaptive discriminator augmentation.
        compile: compile the networks with torch.compile; pays off after a few minutes.
    """

    batch: int = 16
    micro_batch: int = 16
    learning_rate: float = 0.0025
    r1_gamma: float = 0.05
    r1_interval: int = 16
    style_mixing: float = 0.9
    ema_kimg: float = 10.0
    ema_rampup: float = 0.05
    mirror: bool = True
    sampling: Literal["natural", "balanced", "sqrt"] = "natural"
    ada: AdaConfig = field(default_factory=AdaConfig)
    compile: bool = True

    def __post_init__(self) -> None:
        if self.micro_batch < 4 or self.micro_batch % 4 or self.batch % self.micro_batch:
            raise ConfigError(
                f"--training.batch {self.batch}, --training.micro_batch {self.micro_batch}: "
                "the batch is a multiple of the micro-batch, and that of 4"
            )
        if self.learning_rate <= 0 or self.r1_gamma < 0 or self.r1_interval < 1:
            raise ConfigError("--training: learning_rate and r1_interval are positive, r1_gamma is not negative")
