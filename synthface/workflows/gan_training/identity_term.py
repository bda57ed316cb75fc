"""The identity player of a training, put together: the recogniser by name, its statistics from ``inversion``."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan.config import TrainingConfig
    from gan.training.identity_player import IdentityPlayer


@contextmanager
def identity_term(
    training: "TrainingConfig", *, n_classes: int, seed: int, device: Any
) -> Iterator["IdentityPlayer | None"]:
    """Open the identity player that the settings ask for, or None; it plays while its context is open.

    Args:
        training: settings of the training.
        n_classes: classes of the generator.
        seed: the run's seed.
        device: of this process.

    Raises:
        ConfigError: no classes to tell apart, or a recogniser without the statistics asked for.
        WeightsError: the recogniser cannot be loaded.
    """
    if training.identity.form == "off":
        yield None
        return
    from gan.training.identity_player import IdentityPlayer
    from inversion.bn_prior import BatchNormStatistics
    from synthface.recognition import load_recognizer

    recognizer = load_recognizer(training.identity.recognizer).to(device)
    with ExitStack() as stack:
        statistics = None
        if training.identity.statistics_weight:
            statistics = partial(stack.enter_context(BatchNormStatistics(recognizer)).distance, "kl")
        yield IdentityPlayer(
            recognizer,
            training.identity,
            n_classes=n_classes,
            embedding_dim=recognizer.embedding_dim,
            batch=training.batch,
            seed=seed,
            statistics=statistics,
            device=device,
        )
