"""Beginning a training with what another one has learnt."""

from collections.abc import Mapping
from typing import Any

from gan.config import NetworkConfig
from gan.networks.build_discriminator import features_mode
from gan.networks.discriminator import Discriminator
from gan.networks.generator import Generator
from gan.training.fitting import (
    first_difference,
    fitting_discriminator_state,
    fitting_generator_state,
    require_same_generator,
)
from gan.training.trainer import GanTrainer
from synthface.core.errors import ConfigError


def begin_from_generator(trainer: GanTrainer, G: Generator, *, with_classes: bool) -> None:
    """Take over the weights of a generator, with or without what it learnt of each class.

    Raises:
        ConfigError: it has other sizes or settings.
    """
    begin_from_networks(trainer, G_ema=G, G=G, with_classes=with_classes)


def begin_from_networks(
    trainer: GanTrainer, *, G_ema: Generator, G: Generator, D: Discriminator | None = None, with_classes: bool = False
) -> None:
    """Take over the networks of another training; where they have no classes, these are learnt here.

    Args:
        trainer: the training that begins.
        G_ema: the moving average of its generator.
        G: the generator as it was trained.
        D: the discriminator; None leaves this training's own.
        with_classes: the classes of the generators are the people of this training.

    Raises:
        ConfigError: a network has other sizes or settings.
    """
    for other in (G_ema, G):  # before the discriminator, whose refusal does not say which sizes to give
        require_same_generator(trainer.G.config, other.config, with_classes=bool(other.n_classes))
    if D is not None:
        trainer.D.load_state_dict(fitting_discriminator_state(D, trainer.D))
    for own, other in ((trainer.G, G), (trainer.G_ema, G_ema)):
        own.load_state_dict(fitting_generator_state(other, own, with_classes=with_classes))
    trainer.average_starts_here = False  # a short half-life would throw away what was averaged before


def begin_from_training(
    trainer: GanTrainer, state: dict[str, Any], network: NetworkConfig, *, same_recognizer: bool
) -> None:
    """Take over all that a training on the same faces has learnt, and count from 0 under this one's settings.

    Args:
        trainer: the training that begins.
        state: ``state_dict()`` of the other: both networks, the average, what Adam remembers and, where this training
            uses them too, an adaptive p, the mean path length and the state of a further player. What the
            discriminator has learnt on a recogniser's maps it can use on these alone.
        network: what the other's generator was made with.
        same_recognizer: the further players of both see with the same recogniser; embeddings by another are of no use.

    Raises:
        ConfigError: its networks have other sizes or settings, or its discriminator sees through another recogniser.
    """
    require_same_generator(trainer.G.config, network)
    _require_same_discriminator(trainer, state)
    for name in ("G", "D", "G_ema"):
        getattr(trainer, name).load_state_dict(state[name])
    trainer.average_starts_here = False  # a short half-life would throw away what was averaged before
    for optimizer, other in ((trainer.optimizer_G, state["optimizer_G"]), (trainer.optimizer_D, state["optimizer_D"])):
        own = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": other["state"], "param_groups": own})
    learnt = {
        "ada": trainer.ada if trainer.config.ada.mode == "adaptive" else None,
        "path_length": trainer.path_length,
        "term": trainer.term if same_recognizer else None,
    }
    for name, part in learnt.items():
        if part is not None and name in state:
            part.load_state_dict(state[name])


def _require_same_discriminator(trainer: GanTrainer, state: Mapping[str, Any]) -> None:
    """Refuse a discriminator with other parts, one that learnt on another recogniser's maps, and other sizes."""
    features, alone = trainer.config.features, "or its generator.safetensors alone to --init"
    mode = features_mode(state["D"])
    if mode != features.mode:
        raise ConfigError(
            f"--training.features.mode {features.mode}: the run in --init has {mode}; give --training.features.mode "
            f"{mode}, {alone}"
        )
    seen_through = state.get("features")  # an older checkpoint does not say
    if seen_through and seen_through != trainer.features_sha256:
        raise ConfigError(
            f"--training.features.recognizer {features.recognizer}: the discriminator of the run in --init sees "
            f"through another one ({seen_through[:12]}, not {trainer.features_sha256[:12]}); give that, {alone}"
        )
    differing = first_difference(state["D"], trainer.D.state_dict())
    if differing:
        flags = "--training.features.finest, channels, width and pixel_share" if mode != "off" else "--network.*"
        raise ConfigError(f"--init: that run's discriminator has other sizes ({differing}); give its {flags}, {alone}")
