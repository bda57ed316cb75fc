"""Beginning a training with what another one has learnt."""

from typing import Any

from gan.config import NetworkConfig
from gan.generator import Generator
from gan.trainer import GanTrainer
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
            uses them too, an adaptive p, the mean path length and the state of a further player.
        network: what the other's generator was made with.
        same_recognizer: the further players of both see with the same recogniser; embeddings by another are of no use.

    Raises:
        ConfigError: its networks have other sizes or settings.
    """
    _require_same_generator(trainer, network)
    try:
        for name in ("G", "D", "G_ema"):
            getattr(trainer, name).load_state_dict(state[name])
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(f"--init: that run's networks have other sizes: {reason}") from None
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
