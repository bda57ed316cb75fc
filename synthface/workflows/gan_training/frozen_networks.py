"""Recognisers that take part in a training without being trained: who they are, and who must not judge it."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gan.config import TrainingConfig
    from gan.monitor_config import MonitorConfig

logger = logging.getLogger(__name__)

IDENTITY = "identity recognizer"


def frozen_recognizers(training: "TrainingConfig") -> dict[str, str]:
    """Return name or file of each player's recogniser, by the player."""
    players = {}
    if training.identity.form != "off":
        players[IDENTITY] = training.identity.recognizer
    if training.features.mode != "off":
        players["features recognizer"] = training.features.recognizer
    return players


def frozen_inputs(training: "TrainingConfig") -> dict[str, str]:
    """Return the hash of each player's recogniser, for the run record and the settings' hash."""
    from synthface.recognition.catalogue import find_weights

    return {player: find_weights(name).sha256 for player, name in frozen_recognizers(training).items()}


def warn_of_a_biased_judge(training: "TrainingConfig", monitor: "MonitorConfig") -> None:
    """Warn when a recogniser that takes part also measures the result, under whatever name or path."""
    from synthface.recognition.catalogue import find_weights

    hashes = frozen_inputs(training)
    if not hashes or not monitor.ticks:
        return
    judge = find_weights(monitor.recognizer, flag="--monitor.recognizer").sha256
    players = [player for player, sha256 in hashes.items() if sha256 == judge]
    if players:
        logger.warning(
            "--monitor.recognizer %s is also the training's %s: its figures will be too good; give another one",
            monitor.recognizer,
            " and ".join(players),
        )
