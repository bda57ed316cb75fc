"""Ctrl-C while steps are computed: the first one waits for the step in hand, the second one does not."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interruption:
    """Whether the user wants the run to stop."""

    is_wanted: bool = False


@contextmanager
def first_interrupt_waits() -> Iterator[Interruption]:
    """Note the first SIGINT instead of raising KeyboardInterrupt; from the second on all is as before.

    Where Python's own handler is not in place (a command in the background ignores SIGINT), nothing changes.
    """
    interruption = Interruption()
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interruption
        return

    def note(number: int, frame: FrameType | None) -> None:
        interruption.is_wanted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, note)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
