"""Pickles of image files and truth values, as Python 2, Python 3 and numpy write them; bytes stay in the file."""

from typing import IO, Any

from synthface.core.errors import DataError
from synthface.core.safe_pickle import PickleRefused, Span, Stateful, read_pickle

MAX_INSTRUCTIONS = 20_000_000


def read_plain_pickle(stream: IO[bytes]) -> Any:
    """Return the value of the pickle at the start of a file.

    Returns:
        Lists, tuples, whole numbers, True, False, None; bytes as ``Span`` or, where the file holds them in a form that
        must be decoded (texts are latin-1), as ``bytes``; a numpy array of bytes or truth values as the bytes of its
        elements. What the pickle refers to several times is one object here too.

    Raises:
        DataError: another instruction or global, too many instructions, or a damaged pickle.
    """
    stream.seek(0)
    try:
        value = read_pickle(stream, _NAMES, spans=True, max_instructions=MAX_INSTRUCTIONS)
        return _finished(value, 2, {})
    except PickleRefused as error:
        raise DataError(f"the pickle {error}; nothing in it was executed") from None


class _ByteType(Stateful):
    """A numpy type of one byte an element."""

    def __init__(self, code: Any, *_: Any) -> None:
        if type(code) is not str or code not in ("b1", "u1", "?", "B"):
            raise PickleRefused("holds numpy values that are not bytes or truth values")

    def set_state(self, state: Any) -> None:
        """Byte order and alignment, which mean nothing to a byte."""


class _ByteArray(Stateful):
    """A numpy array, as far as the pickle has described it."""

    def __init__(self, *_: Any) -> None:
        self.data: Span | bytes | str = b""

    def set_state(self, state: Any) -> None:
        """Take (version, shape, type, Fortran order, data)."""
        if (
            type(state) is not tuple
            or len(state) != 5
            or not isinstance(state[2], _ByteType)
            or state[3] not in (False, 0)
        ):
            raise PickleRefused("holds a numpy array that is not one of bytes or truth values")
        if not isinstance(state[4], Span | bytes | str):
            raise PickleRefused("has a numpy array without its bytes")
        self.data = state[4]


def _finished(value: Any, depth: int, done: dict[tuple[int, int], Any]) -> Any:
    """Replace arrays and texts by their bytes, ``depth`` lists deep: there is nothing to look for below.

    Args:
        value: of the pickle, or inside it; all of these stay alive meanwhile, so that an id means one object.
        depth: of lists that are looked into.
        done: by id and depth: a list or text that occurs a million times is converted, and is in memory, once.
    """
    if isinstance(value, _ByteArray):
        value = value.data
    key = id(value), depth
    if key not in done:
        if type(value) is str:
            done[key] = _as_bytes(value)
        elif depth and type(value) in (list, tuple):
            done[key] = type(value)(_finished(item, depth - 1, done) for item in value)
        else:
            return value
    return done[key]


def _as_bytes(value: Any) -> Span | bytes:
    if type(value) is str:  # a byte string of Python 2 that was decoded as latin-1
        try:
            return value.encode("latin-1")
        except UnicodeEncodeError:
            raise PickleRefused("has a text where bytes should be") from None
    if not isinstance(value, Span | bytes):
        raise PickleRefused("has something else where bytes should be")
    return value


def _encode(text: Any, encoding: Any) -> Span | bytes:
    """What Python 3 writes for bytes under the protocols of Python 2: ``_codecs.encode(text, 'latin1')``."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise PickleRefused("encodes text otherwise than to latin1")
    return _as_bytes(text)


def _byte_string(*arguments: Any) -> Span | bytes:
    return _as_bytes(arguments[0]) if arguments else b""


def _scalar(kind: Any, data: Any) -> Span | bytes:
    if not isinstance(kind, _ByteType):
        raise PickleRefused("holds a numpy value that is not a byte or a truth value")
    return _as_bytes(data)


def _from_buffer(data: Any, kind: Any, *_: Any) -> Span | bytes:
    return _scalar(kind, data)


_NAMES = {
    "_codecs encode": _encode,
    **{f"{module} {name}": _byte_string for module in ("builtins", "__builtin__") for name in ("bytes", "bytearray")},
    "numpy dtype": _ByteType,
    "numpy ndarray": None,  # named as the class to reconstruct, never called
    **{f"numpy.{core}.multiarray scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray _reconstruct": _ByteArray for core in ("core", "_core")},
    **{f"numpy.{core}.numeric _frombuffer": _from_buffer for core in ("core", "_core")},
}
