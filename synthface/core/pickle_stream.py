"""The bytes of a pickle, read with an eye on how many there are, and the one error there is."""

import os
from dataclasses import dataclass
from typing import IO, Any, NoReturn

_LONGEST_LINE = 2**28


class PickleRefused(Exception):  # noqa: N818 (says what happened)
    """The pickle is damaged, or asks for something that is not on the list."""


@dataclass(frozen=True)
class Span:
    """Bytes that are still in the file."""

    offset: int
    length: int

    def read(self, stream: IO[bytes]) -> bytes:
        """Return the bytes."""
        stream.seek(self.offset)
        return stream.read(self.length)


def refuse(reason: str) -> NoReturn:
    """Raise the one error; ``reason`` follows what the file is called."""
    raise PickleRefused(reason)


class GuardedStream:
    """A stream that never allocates more than the file still holds.

    Attributes:
        size: of the whole file, in bytes.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        start = stream.tell()
        stream.seek(0, os.SEEK_END)
        self.size = stream.tell()
        stream.seek(start)

    def read(self, n: int) -> bytes:
        """Return the next n bytes."""
        self._check(n)
        return bytes(self._stream.read(n))

    def readline(self) -> bytes:
        """Return the rest of a line."""
        return bytes(self._stream.readline(_LONGEST_LINE))

    def skip(self, n: int) -> Span:
        """Leave the next n bytes where they are; return where that is."""
        self._check(n)
        span = Span(self._stream.tell(), n)
        self._stream.seek(n, os.SEEK_CUR)
        return span

    def _check(self, n: int) -> None:
        if not 0 <= n <= self.size - self._stream.tell():
            refuse("ends too early")
