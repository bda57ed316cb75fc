"""Sets of faces in the formats of other tools: each is read as a stream of ``Item`` and written from one."""

from synthface.data.formats.detection import CONVERSION, FormatName, Source, open_labelled, open_source
from synthface.data.formats.item import ContentSum, Item
from synthface.data.formats.sinks import Sink, open_sink
from synthface.data.formats.verification_bin import VerificationBin, write_verification_bin

__all__ = [
    "CONVERSION",
    "ContentSum",
    "FormatName",
    "Item",
    "Sink",
    "Source",
    "VerificationBin",
    "open_labelled",
    "open_sink",
    "open_source",
    "write_verification_bin",
]
