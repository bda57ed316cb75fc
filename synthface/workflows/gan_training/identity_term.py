"""The identity player of a training, put together: the recogniser by name, its statistics from ``inversion``."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan.config import TrainingConfig
    from gan.identity_player import IdentityPlayer


def identity_term(training: "TrainingConfig", *, n_classes: int, seed: int, device: Any) -> "IdentityPlayer | None":
    """Return the identity player that the settings ask for, or None.

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
        return None
    from gan.identity_player import IdentityPlayer
    from inversion.bn_prior import BatchNormStatistics
    from synthface.recognition import load_recognizer

    recognizer = load_recognizer(training.identity.recognizer).to(device)
    statistics = None
    if training.identity.statistics_weight:
        # Open for as long as the process trains: its hooks belong to this recogniser, which nobody else sees.
        moments = BatchNormStatistics(recognizer).__enter__()

        def statistics() -> Any:
            return moments.distance("kl")

    return IdentityPlayer(
        recognizer,
        training.identity,
        n_classes=n_classes,
        embedding_dim=recognizer.embedding_dim,
        batch=training.batch,
        seed=seed,
        statistics=statistics,
        device=device,
    )
