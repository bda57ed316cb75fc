"""Beginning a training with what another one has learnt."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gan.config import NetworkConfig
from gan.networks.build_discriminator import features_mode
from gan.networks.generator import Generator
from gan.training.trainer import GanTrainer
from synthface.core.errors import ConfigError


def begin_from_generator(trainer: GanTrainer, G: Generator, *, with_classes: bool) -> None:
    """Take over the weights of a generator, with or without what it learnt of each class.

    Raises:
        ConfigError: it has other sizes or settings.
    """
    _require_same_generator(trainer, G.config)
    if bool(G.n_classes) != bool(trainer.G.n_classes):
        raise ConfigError(f"--init: that generator has {G.n_classes} classes; the faces have {trainer.G.n_classes}")
    state = {name: tensor for name, tensor in G.state_dict().items() if with_classes or name != "mapping.embed.weight"}
    for network in (trainer.G, trainer.G_ema):
        network.load_state_dict({**network.state_dict(), **state})
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
    _require_same_generator(trainer, network)
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


def _require_same_generator(trainer: GanTrainer, other: NetworkConfig) -> None:
    """Refuse a generator that computes something else; the discriminator alone has a ``group_size``."""
    own = vars(trainer.G.config)
    differing = [name for name in own if name != "group_size" and own[name] != getattr(other, name)]
    if differing:
        wanted = " ".join(f"--network.{name} {getattr(other, name)}" for name in differing)
        raise ConfigError(f"--init: that generator has other sizes or settings; give {wanted}")


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
    differing = _first_difference(state["D"], trainer.D.state_dict())
    if differing:
        flags = "--training.features.finest, channels, width and pixel_share" if mode != "off" else "--network.*"
        raise ConfigError(f"--init: that run's discriminator has other sizes ({differing}); give its {flags}, {alone}")


def _first_difference(other: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """Say which tensor of two states is the first to have another shape, or to be in one of them alone."""
    shapes = [{name: tuple(tensor.shape) for name, tensor in state.items()} for state in (other, own)]
    for name in dict.fromkeys([*other, *own]):
        there, here = (held.get(name, "missing") for held in shapes)
        if there != here:
            return f"{name}: {there}, here {here}"
    return ""
