"""Images from face embeddings by optimising pixels under batch-norm priors (white-box, no generator)."""

from inversion.config import PRESETS, InversionConfig
from inversion.inverter import check_dimension, inversion_steps, invert
from inversion.optimise import StepReport
from inversion.result import GroupResult, InversionResult

__all__ = [
    "PRESETS",
    "GroupResult",
    "InversionConfig",
    "InversionResult",
    "StepReport",
    "check_dimension",
    "inversion_steps",
    "invert",
]
