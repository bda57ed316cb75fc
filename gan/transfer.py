"""Beginning a training with what another one has learnt."""

from typing import Any

from gan.generator import Generator
from gan.trainer import GanTrainer
from synthface.core.errors import ConfigError


def begin_from_generator(trainer: GanTrainer, G: Generator, *, with_classes: bool) -> None:
    """Take over the weights of a generator, with or without what it learnt of each class.

    Raises:
        ConfigError: it has other sizes.
    """
    if G.config != trainer.G.config or bool(G.n_classes) != bool(trainer.G.n_classes):
        classes = "classes" if G.n_classes else "no classes"
        raise ConfigError(f"--init: that generator has other sizes than --network.*: {vars(G.config)}, {classes}")
    state = {name: tensor for name, tensor in G.state_dict().items() if with_classes or name != "mapping.embed.weight"}
    for network in (trainer.G, trainer.G_ema):
        network.load_state_dict({**network.state_dict(), **state})


def begin_from_training(trainer: GanTrainer, state: dict[str, Any]) -> None:
    """Take over all that a training on the same faces has learnt, and count from 0 under this one's settings.

    Args:
        trainer: the training that begins.
        state: ``state_dict()`` of the other: both networks, the average, what Adam remembers, and p are taken.

    Raises:
        ConfigError: its networks have other sizes.
    """
    try:
        for name in ("G", "D", "G_ema"):
            getattr(trainer, name).load_state_dict(state[name])
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(f"--init: that run's networks have other sizes than --network.*: {reason}") from None
    trainer.average_starts_here = False  # a short half-life would throw away what was averaged before
    trainer.ada.load_state_dict(state["ada"])
    for optimizer, other in ((trainer.optimizer_G, state["optimizer_G"]), (trainer.optimizer_D, state["optimizer_D"])):
        own = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": other["state"], "param_groups": own})
