"""A pickle machine for lists of bytes and truth values: it imports nothing, calls nothing, and copies no bytes.

``pickletools`` says how each instruction is laid out; nothing is executed. Bytes stay in the file: the machine puts a
``Span`` on its stack, so that a set of gigabytes takes the memory of its list. The few globals that Python 2, Python 3
and numpy write for bytes and truth values are names in a table below, never looked up anywhere else.
"""

import codecs
import os
import pickletools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, NoReturn

from synthface.core.errors import DataError

MAX_INSTRUCTIONS = 20_000_000
_MAX_LINE = 2**28


@dataclass(frozen=True)
class Span:
    """Bytes that are still in the file."""

    offset: int
    length: int

    def read(self, stream: IO[bytes]) -> bytes:
        """Return the bytes."""
        stream.seek(self.offset)
        return stream.read(self.length)


@dataclass(frozen=True)
class _Name:
    """A global of the table: a tag, nothing that could be called."""

    tag: str


@dataclass
class _Array:
    """A numpy array or scalar of one byte an element, as far as the pickle has described it."""

    data: Span | bytes | None = None


def read_plain_pickle(stream: IO[bytes]) -> Any:
    """Return the value of the pickle at the start of a file.

    Returns:
        Lists, tuples, whole numbers, True, False, None; bytes as ``Span`` or, where the file holds them in a form that
        must be decoded, as ``bytes``; a numpy array of bytes or truth values as the bytes of its elements.

    Raises:
        DataError: another instruction or global, too many instructions, or a damaged pickle.
    """
    machine = _Machine()
    try:
        for count, (name, argument) in enumerate(_instructions(_Guarded(stream))):
            if count >= MAX_INSTRUCTIONS:
                _refuse(f"has more than {MAX_INSTRUCTIONS:,} instructions")
            if name == "STOP":
                return machine.result()
            machine.execute(name, argument)
    except (ValueError, LookupError, TypeError, ArithmeticError, MemoryError, EOFError) as error:
        _refuse(f"is damaged ({type(error).__name__}: {error!s:.80})")
    _refuse("ends too early")


def _refuse(reason: str) -> NoReturn:
    raise DataError(f"the pickle {reason}")


class _Guarded:
    """A stream that never allocates more than the file still holds."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._size = stream.seek(0, os.SEEK_END)
        stream.seek(0)

    def read(self, n: int) -> bytes:
        self._check(n)
        return self._stream.read(n)

    def readline(self) -> bytes:
        return self._stream.readline(_MAX_LINE)

    def skip(self, n: int) -> Span:
        self._check(n)
        span = Span(self._stream.tell(), n)
        self._stream.seek(n, os.SEEK_CUR)
        return span

    def _check(self, n: int) -> None:
        if not 0 <= n <= self._size - self._stream.tell():
            _refuse("ends too early")


def _instructions(stream: _Guarded) -> Iterator[tuple[str, Any]]:
    """Yield name and argument of each instruction; for bytes the argument is where they are."""
    while True:
        code = stream.read(1).decode("latin-1")
        opcode = pickletools.code2op.get(code)  # type: ignore[attr-defined]
        if opcode is None:
            _refuse(f"holds {code!a}, which is no instruction")
        if opcode.name in _LENGTH_BYTES:
            yield opcode.name, stream.skip(int.from_bytes(stream.read(_LENGTH_BYTES[opcode.name]), "little"))
        elif opcode.name == "STRING":
            yield opcode.name, _unquote(stream.readline())
        elif opcode.name not in _KNOWN:
            _refuse(f"uses the instruction {opcode.name}, which a list of images does not need; nothing was executed")
        else:
            yield opcode.name, opcode.arg.reader(stream) if opcode.arg else None


def _unquote(line: bytes) -> bytes:
    """Read a byte string as Python 2 wrote it under protocol 0: quoted, with escapes."""
    text = line.strip()
    if len(text) < 2 or text[:1] not in (b"'", b'"') or text[-1:] != text[:1]:
        _refuse("is damaged (a string without quotes)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of escapes that Python does not know
        return bytes(codecs.escape_decode(text[1:-1])[0])


class _Machine:
    """Stack, marks and memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def execute(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _INSTRUCTIONS:
            _INSTRUCTIONS[name](self, argument)
        elif name not in _WITHOUT_EFFECT:
            self.stack.append(argument)

    def result(self) -> Any:
        if len(self.stack) != 1 or self.marks:
            _refuse("leaves values over")
        value = self.stack[0]
        return tuple(map(_plain, value)) if type(value) is tuple else _plain(value)

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def mark(self, _: None) -> None:
        self.marks.append(len(self.stack))

    def tuple_of(self, size: int) -> None:
        if len(self.stack) < size:
            _refuse("is damaged (too few values)")
        items = tuple(self.stack[-size:])
        self.stack[-size:] = [items]

    def put(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else int(index)] = self.stack[-1]

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            _refuse("appends to something that is no list")
        target.extend(map(_plain, items))

    def name_of(self, path: str) -> None:
        if path not in _NAMES:
            shown = path.replace(" ", ".")[:80].encode("unicode_escape").decode("ascii")
            _refuse(f"asks for {shown}, which no list of images needs; nothing was executed")
        self.stack.append(_Name(_NAMES[path]))

    def name_on_stack(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            _refuse("has a name that is no text")
        self.name_of(f"{module} {name}")

    def construct(self, _: None) -> None:
        arguments, target = self.stack.pop(), self.stack.pop()
        if type(target) is not _Name or type(arguments) is not tuple or target.tag not in _CONSTRUCT:
            _refuse("calls something that is not on the list")
        self.stack.append(_CONSTRUCT[target.tag](*arguments))

    def build(self, _: None) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is _Array and type(state) is tuple and len(state) == 5:
            if state[2] != _Name("byte dtype") or state[3] not in (False, 0):
                _refuse("holds a numpy array that is not one of bytes or truth values")
            target.data = _as_bytes(state[4])
        elif target != _Name("byte dtype"):  # what a dtype is told (byte order, alignment) says nothing about bytes
            _refuse("sets attributes of an object")


def _plain(value: Any) -> Any:
    if type(value) is _Name:
        _refuse("holds a name instead of a value")
    return value if type(value) is not _Array else value.data if value.data is not None else b""


def _as_bytes(value: Any) -> Span | bytes:
    if type(value) is str:  # a byte string of Python 2 that was decoded as latin-1
        return value.encode("latin-1")
    if not isinstance(value, Span | bytes):
        _refuse("has something else where bytes should be")
    return value


def _encode(text: Any, encoding: Any) -> bytes:
    """What Python 3 writes for bytes under the protocols of Python 2: ``_codecs.encode(text, 'latin1')``."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        _refuse("encodes text otherwise than to latin1")
    return text.encode("latin-1")


def _byte_array(*arguments: Any) -> Span | bytes:
    return _as_bytes(arguments[0]) if arguments else b""


def _dtype(code: Any, *_: Any) -> _Name:
    if type(code) is not str or code not in ("b1", "u1", "?", "B"):
        _refuse("holds numpy values that are not bytes or truth values")
    return _Name("byte dtype")


def _scalar(dtype: Any, data: Any) -> _Array:
    if dtype != _Name("byte dtype"):
        _refuse("holds a numpy value that is not a byte or a truth value")
    return _Array(_as_bytes(data))


_LENGTH_BYTES = {
    "SHORT_BINBYTES": 1,
    "BINBYTES": 4,
    "BINBYTES8": 8,
    "BYTEARRAY8": 8,
    "SHORT_BINSTRING": 1,
    "BINSTRING": 4,
}
_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG1", "LONG")
_TEXTS = ("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
_WITHOUT_EFFECT = frozenset(("PROTO", "FRAME"))
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
}
_NAMES = {
    "_codecs encode": "encode",
    "builtins bytearray": "bytes",
    "__builtin__ bytearray": "bytes",
    "builtins bytes": "bytes",
    "__builtin__ bytes": "bytes",
    "numpy dtype": "dtype",
    "numpy ndarray": "ndarray",
    **{f"numpy.{core}.multiarray scalar": "scalar" for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray _reconstruct": "array" for core in ("core", "_core")},
    **{f"numpy.{core}.numeric _frombuffer": "buffer" for core in ("core", "_core")},
}
_CONSTRUCT: dict[str, Callable[..., Any]] = {
    "encode": _encode,
    "bytes": _byte_array,
    "dtype": _dtype,
    "scalar": _scalar,
    "array": lambda *_: _Array(),
    "buffer": lambda data, dtype, *_: _scalar(dtype, data),
}
_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "LIST": lambda machine, _: machine.stack.append([_plain(item) for item in machine.since_mark()]),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "GET": lambda machine, index: machine.stack.append(machine.memo[int(index)]),
    "BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "GLOBAL": _Machine.name_of,
    "STACK_GLOBAL": _Machine.name_on_stack,
    "REDUCE": _Machine.construct,
    "BUILD": _Machine.build,
}
_KNOWN = frozenset((*_NUMBERS, *_TEXTS, *_WITHOUT_EFFECT, *_CONSTANTS, *_INSTRUCTIONS, "STOP"))
