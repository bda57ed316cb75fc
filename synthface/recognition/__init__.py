"""Recognisers: networks, weights, margin losses and their training. Names load on first use, to keep imports cheap."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synthface.recognition.losses import LOSSES
    from synthface.recognition.recognizer import Recognizer, load_recognizer

_WHERE = {"LOSSES": "losses", "Recognizer": "recognizer", "load_recognizer": "recognizer"}
__all__ = ["LOSSES", "Recognizer", "load_recognizer"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
