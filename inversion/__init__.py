"""Images from face embeddings by optimising pixels under batch-norm priors (white-box, no generator).

Names load on first use: the command line reads ``inversion.config`` without importing torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from inversion.config import InversionConfig
from inversion.presets import PRESETS

if TYPE_CHECKING:
    from inversion.inverter import check_dimension, inversion_steps, invert
    from inversion.measured_statistics import MeasuredStatistics, measure_statistics
    from inversion.optimise import StepReport
    from inversion.result import GroupResult, InversionResult

_WHERE = {
    "GroupResult": "result",
    "InversionResult": "result",
    "MeasuredStatistics": "measured_statistics",
    "StepReport": "optimise",
    "check_dimension": "inverter",
    "inversion_steps": "inverter",
    "invert": "inverter",
    "measure_statistics": "measured_statistics",
}
__all__ = [
    "PRESETS",
    "GroupResult",
    "InversionConfig",
    "InversionResult",
    "MeasuredStatistics",
    "StepReport",
    "check_dimension",
    "inversion_steps",
    "invert",
    "measure_statistics",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
