"""Sizes of the networks and settings of the training; every default of theirs stands here."""

import math
from dataclasses import dataclass, field
from typing import Literal

from gan.cooldown_config import CooldownConfig
from synthface.core.errors import ConfigError

_RESOLUTIONS = (8, 16, 32, 64, 128, 256, 512, 1024)


def _require(is_met: bool, flag: str, value: object, rule: str) -> None:
    """Refuse a setting that breaks its rule, by the name of its flag."""
    if not is_met:
        raise ConfigError(f"{flag} {value}: give {rule}")


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
        group_size: images whose spread the discriminator compares (minibatch standard deviation); 0 is the whole
            micro-batch.
    """

    resolution: int = 64
    z_dim: int = 256
    w_dim: int = 256
    mapping_layers: int = 2
    channel_base: int = 2048
    channel_max: int = 128
    class_scale: float = 1.0
    clamp: float = 0.0
    group_size: int = 4

    def __post_init__(self) -> None:
        is_known = self.resolution in _RESOLUTIONS
        _require(is_known, "--network.resolution", self.resolution, "a power of two from 8 to 1024")
        _require(self.class_scale >= 0, "--network.class_scale", self.class_scale, "0 or more")
        _require(self.clamp >= 0, "--network.clamp", self.clamp, "0 or more")
        if (
            min(self.w_dim, self.mapping_layers, self.channel_base, self.channel_max) < 1
            or min(self.z_dim, self.group_size) < 0
        ):
            raise ConfigError("--network.*: sizes are positive")

    @property
    def block_resolutions(self) -> list[int]:
        """Resolutions of the blocks: 4, 8, ... up to the image's."""
        return [2**k for k in range(2, int(math.log2(self.resolution)) + 1)]

    def channels(self, resolution: int) -> int:
        """Channels of the layers at a resolution."""
        return max(1, min(self.channel_base // resolution, self.channel_max))


AugmentationGroups = Literal[
    "blit", "geom", "colour", "filter", "noise", "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc"
]


@dataclass(frozen=True)
class AdaConfig:
    """Adaptive discriminator augmentation (arXiv 2006.06676, section 3).

    Args:
        mode: adaptive follows r_t to its target, fixed keeps p at its start, none leaves augmentation out.
        start: p at the beginning.
        target: value of r_t = E[sign D(real)] to hold.
        interval: steps between two adjustments of p.
        kimg: thousand images in which p can move by 1.
        groups: transformations that take part: pixel blitting, general geometric, colour, frequency filter, noise,
            cutout; one by name or several by first letters, in this order.
    """

    mode: Literal["adaptive", "fixed", "none"] = "adaptive"
    start: float = 0.0
    target: float = 0.6
    interval: int = 4
    kimg: float = 100.0
    groups: AugmentationGroups = "bgc"

    def __post_init__(self) -> None:
        _require(0 <= self.start <= 1, "--training.ada.start", self.start, "a probability from 0 to 1")
        if self.mode == "fixed" and self.start == 0:
            raise ConfigError("--training.ada.mode fixed: give --training.ada.start, or mode none")
        if self.interval < 1 or self.kimg <= 0:
            raise ConfigError("--training.ada: interval and kimg are positive")


@dataclass(frozen=True)
class PathLengthConfig:
    """Path-length regularisation of the generator (arXiv 1912.04958, section 3.2).

    Args:
        weight: factor of the penalty in the generator's loss, 2 in StyleGAN2; 0 leaves it out.
        interval: steps between two penalties (lazy regularisation).
        shrink: the penalty sees this part of a micro-batch, one half for 2.
        decay: share by which the mean length moves towards that of a new batch.
    """

    weight: float = 0.0
    interval: int = 4
    shrink: int = 2
    decay: float = 0.01

    def __post_init__(self) -> None:
        if self.weight < 0 or self.interval < 1 or self.shrink < 1 or not 0 < self.decay <= 1:
            raise ConfigError(
                "--training.path_length: weight is not negative, interval and shrink are at least 1, decay is in (0, 1]"
            )


@dataclass(frozen=True)
class TransitionConfig:
    """From unconditional to conditional training, against collapse with few images a class (after arXiv 2201.06578).

    Args:
        start_kimg: thousand images seen when the networks begin to see the class; until then they are unconditional.
        end_kimg: ... and when they see all of it; 0 is off: conditional from the first step.
    """

    start_kimg: float = 0.0
    end_kimg: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.start_kimg <= self.end_kimg:
            raise ConfigError(
                f"--training.transition: start_kimg {self.start_kimg:g} must not be negative or after "
                f"end_kimg {self.end_kimg:g}"
            )

    def strength(self, seen_images: int) -> float:
        """Return how much of the class the networks see, from 0 to 1, linear in between."""
        return ramp(seen_images, self.start_kimg, self.end_kimg - self.start_kimg)


@dataclass(frozen=True)
class IdentityConfig:
    """The identity player: a frozen recogniser that pulls the generated images of a class together.

    Args:
        form: off; centre is one minus the cosine to the class's centre; margin is a margin softmax over the centres.
        recognizer: name or file of the recogniser; judge the result with another one.
        weight: factor of the player's loss in the generator's.
        start_kimg: thousand images seen before the player joins in.
        ramp_kimg: thousand images in which its weight, and the margin, rise from 0.
        interval: steps from one in which it plays to the next, with so many times the weight; saves its cost.
        momentum: share of the old centre that is kept when a class is seen.
        margin: of the margin form, subtracted from the cosine to the own centre.
        scale: of the margin form, factor of the cosines before the softmax.
        negatives: other classes in the softmax, drawn anew each step; bounds the cost with many classes.
        statistics_weight: factor of the distance between batch-norm statistics of the generated images and those of
            the recogniser's training; 0 leaves it out.
    """

    form: Literal["off", "centre", "margin"] = "off"
    recognizer: str = "synthface-small"
    weight: float = 0.5
    start_kimg: float = 0.0
    ramp_kimg: float = 0.0
    interval: int = 1
    momentum: float = 0.9
    margin: float = 0.35
    scale: float = 16.0
    negatives: int = 1024
    statistics_weight: float = 0.0

    def __post_init__(self) -> None:
        if min(self.weight, self.statistics_weight, self.start_kimg, self.ramp_kimg, self.margin) < 0:
            raise ConfigError("--training.identity: weights, kimg and margin are not negative")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"--training.identity.momentum {self.momentum}: give at least 0 and less than 1")
        if self.scale <= 0 or self.negatives < 1 or self.interval < 1:
            raise ConfigError("--training.identity: scale, negatives and interval are positive")

    def ramp(self, seen_images: int) -> float:
        """Return the factor of weights and margin after so many images, from 0 to 1."""
        return ramp(seen_images, self.start_kimg, self.ramp_kimg)


@dataclass(frozen=True)
class FeatureConfig:
    """A discriminator on the features of a frozen recogniser (Projected GANs, arXiv 2111.01007).

    Args:
        mode: off; beside the ordinary discriminator, their losses summed; or in its place, blind to what the
            recogniser is blind to, such as colours.
        recognizer: name or file of the recogniser; judge the result with another one.
        pixel_share: beside it, the ordinary discriminator has this share of its channels: it need not find faces.
        finest: pixels a side of the finest of the recogniser's maps that is looked at.
        channels: of a randomly mixed map, at most.
        width: of the layers in a head.
    """

    mode: Literal["off", "beside", "instead"] = "off"
    recognizer: str = "synthface-small"
    pixel_share: float = 0.5
    finest: int = 16
    channels: int = 64
    width: int = 64

    def __post_init__(self) -> None:
        if self.finest < 4 or min(self.channels, self.width) < 1 or not 0 < self.pixel_share <= 1:
            raise ConfigError(
                "--training.features: finest is at least 4, channels and width are positive, pixel_share is in (0, 1]"
            )


def ramp(seen_images: int, start_kimg: float, length_kimg: float) -> float:
    """Rise from 0 at the start to 1 over a length, all in thousand images; a step where the length is 0."""
    passed = seen_images / 1000 - start_kimg
    if length_kimg == 0:
        return float(passed >= 0)
    return min(max(passed / length_kimg, 0.0), 1.0)


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the training loop.

    Args:
        batch: images a step, over all processes.
        micro_batch: images computed at once; a multiple of 4, and the unit of work that processes share.
        learning_rate: Adam's, for both networks.
        cooldown: a rate that falls before the run ends.
        r1_gamma: weight of the R1 gradient penalty on real images.
        r1_interval: steps between two penalties (lazy regularisation).
        style_mixing: probability that an image takes its later layers from a second z.
        ema_kimg: half life of the generator's moving average, in thousand images.
        ema_rampup: the half life is never more than this share of the images seen; 0 is off.
        mirror: show real images mirrored half of the time.
        sampling: classes drawn as often as they have images (natural), all alike (balanced), or in between (sqrt).
        half_from: blocks of this resolution and above are trained in bfloat16, which is faster where the machine has
            instructions for it; 0 is none. Weights, their averages and all sampling stay float32.
        ada: adaptive discriminator augmentation.
        path_length: path-length regularisation.
        transition: from unconditional to conditional training.
        warmup_kimg: thousand images for which only the discriminator learns; for a generator that can do something.
        identity: the identity player.
        features: a discriminator on a recogniser's features.
        compile: compile the networks with torch.compile; pays off after a few minutes.
    """

    batch: int = 16
    micro_batch: int = 16
    learning_rate: float = 0.0025
    cooldown: CooldownConfig = field(default_factory=CooldownConfig)
    r1_gamma: float = 0.05
    r1_interval: int = 16
    style_mixing: float = 0.9
    ema_kimg: float = 10.0
    ema_rampup: float = 0.05
    mirror: bool = True
    sampling: Literal["natural", "balanced", "sqrt"] = "natural"
    half_from: int = 0
    ada: AdaConfig = field(default_factory=AdaConfig)
    path_length: PathLengthConfig = field(default_factory=PathLengthConfig)
    transition: TransitionConfig = field(default_factory=TransitionConfig)
    warmup_kimg: float = 0.0
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    compile: bool = True

    def __post_init__(self) -> None:
        if self.micro_batch < 4 or self.micro_batch % 4 or self.batch % self.micro_batch:
            raise ConfigError(
                f"--training.batch {self.batch}, --training.micro_batch {self.micro_batch}: "
                "the batch is a multiple of the micro-batch, and that of 4"
            )
        _require(0 <= self.style_mixing <= 1, "--training.style_mixing", self.style_mixing, "a probability from 0 to 1")
        for name in ("learning_rate", "r1_interval", "ema_kimg"):
            _require(getattr(self, name) > 0, f"--training.{name}", getattr(self, name), "a positive number")
        for name in ("r1_gamma", "ema_rampup", "warmup_kimg"):
            _require(getattr(self, name) >= 0, f"--training.{name}", getattr(self, name), "0 or more")
        is_block = self.half_from in (0, 4, *_RESOLUTIONS)
        _require(is_block, "--training.half_from", self.half_from, "0, or a power of two from 4 to 1024")
