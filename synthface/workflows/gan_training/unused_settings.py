"""Settings of a training that would change nothing, since the part that they belong to is off."""

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gan.config import TrainingConfig


def unused_settings(training: "TrainingConfig") -> list[str]:
    """Return the flags of settings that were given for a part that is off.

    Of augmentation that is off only the start counts: a preset's other settings may stay beside ``--training.ada.mode
    none``.
    """
    off = {"identity": training.identity.form == "off", "features": training.features.mode == "off"}
    found = [
        f"--training.{part}.{setting.name}"
        for part in (name for name, is_off in off.items() if is_off)
        for setting in dataclasses.fields(getattr(training, part))
        if getattr(getattr(training, part), setting.name) != setting.default
    ]
    return found + ["--training.ada.start"] * (training.ada.mode == "none" and training.ada.start > 0)
