"""A pickle machine that builds values and calls nothing but what its caller lists.

Python's own unpickler is a machine whose instructions may import and call anything. This one has only the
instructions that data needs; ``pickletools`` says how each of them is laid out. A global is looked up in the list
that the caller gives, never imported; attributes are never set. With ``spans``, bytes stay in the file, so that a
pickle of gigabytes takes the memory of its structure.
"""

import codecs
import pickletools
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, cast

from synthface.core.pickle_stream import GuardedStream, PickleRefused, Span, refuse

__all__ = ["Listed", "PickleRefused", "Span", "Stateful", "read_pickle"]

_LONGEST_NAME = 120


class Stateful(ABC):
    """A stand-in that takes the state a pickle gives it."""

    @abstractmethod
    def set_state(self, state: Any) -> None:
        """Check or keep the state."""


@dataclass(frozen=True)
class Listed:
    """A global named by the pickle and found on the list: its name and our meaning of it."""

    name: str
    meaning: Any


def read_pickle(
    stream: Any,
    names: Mapping[str, Any],
    *,
    persistent: Callable[[Any], Any] | None = None,
    spans: bool = False,
    max_instructions: int = 2_000_000,
    prefix: str = "",
) -> Any:
    """Return the value of the pickle that starts where a stream stands, leaving the stream behind its end.

    Args:
        stream: binary file, memory map or BytesIO.
        names: for each global that may occur, as ``module name``, its stand-in; functions are called with the
            pickle's arguments, anything else is only handed around.
        persistent: gives the value of a persistent id.
        spans: leave bytes in the file and return a ``Span`` for each.
        max_instructions: more are refused; each makes at most one small object. A network of 1024 pixels takes some
            50,000.
        prefix: text to put before the messages of errors.

    Raises:
        PickleRefused: another global, another instruction, too many of them, calls that return more than the stream
            holds, or a damaged pickle.
    """
    guarded = GuardedStream(stream)
    machine = _Machine(names, persistent, allowance=guarded.size)
    try:
        for count, (name, argument) in enumerate(_instructions(guarded, spans)):
            if count >= max_instructions:
                refuse(f"has more than {max_instructions:,} instructions")
            if name == "STOP":
                return machine.result()
            machine.execute(name, argument)
    except PickleRefused as error:
        raise PickleRefused(f"{prefix}{error}") from None
    except (ValueError, LookupError, TypeError, ArithmeticError, MemoryError, EOFError) as error:
        raise PickleRefused(f"{prefix}is damaged ({type(error).__name__}: {error!s:.100})") from None
    raise PickleRefused(f"{prefix}ends too early")  # not reached: the stream's end is refused before


def _instructions(stream: GuardedStream, spans: bool) -> Iterator[tuple[str, Any]]:
    """Yield name and argument of each instruction."""
    take: Callable[[int], Any] = stream.skip if spans else stream.read
    while True:
        code = stream.read(1).decode("latin-1")
        opcode = _OPCODES.get(code)
        if opcode is None:
            refuse(f"holds the unknown instruction {code!a}")
        if opcode.name in _LENGTH_BYTES:
            yield opcode.name, take(int.from_bytes(stream.read(_LENGTH_BYTES[opcode.name]), "little"))
        elif opcode.name == "STRING":
            yield opcode.name, _unquote(stream.readline())
        elif opcode.name not in _KNOWN:
            refuse(f"uses the instruction {opcode.name}, which plain data does not need")
        else:
            yield opcode.name, opcode.arg.reader(cast(IO[bytes], stream)) if opcode.arg else None


def _unquote(line: bytes) -> bytes:
    """Read a byte string as Python 2 wrote it under protocol 0: quoted, with escapes."""
    text = line.strip()
    if len(text) < 2 or text[:1] not in (b"'", b'"') or text[-1:] != text[:1]:
        refuse("is damaged (a string without quotes)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of escapes that Python does not know
        return bytes(codecs.escape_decode(text[1:-1])[0])


class _Machine:
    """Stack, marks and memo of one pickle, and how many bytes and items its calls may still return."""

    def __init__(self, names: Mapping[str, Any], persistent: Callable[[Any], Any] | None, *, allowance: int) -> None:
        self.names, self.persistent, self.allowance = names, persistent, allowance
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def execute(self, name: str, argument: Any) -> None:
        if name in _NEW_VALUE:
            self.stack.append(_NEW_VALUE[name]())
        elif name in _INSTRUCTIONS:
            _INSTRUCTIONS[name](self, argument)
        elif name not in _WITHOUT_EFFECT:
            self.stack.append(argument)

    def result(self) -> Any:
        if len(self.stack) != 1 or self.marks:
            refuse("is damaged (its end leaves values over)")
        return self.stack[0]

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def mark(self, _: None) -> None:
        self.marks.append(len(self.stack))

    def tuple_of(self, size: int) -> None:
        if len(self.stack) < size:
            refuse("is damaged (too few values)")
        self.stack[-size:] = [tuple(self.stack[-size:])]

    def put(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else int(index)] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[int(index)])

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            refuse("appends to something that is no list")
        target.extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            refuse("sets items of something that is no dictionary")
        target.update(zip(map(_text, items[::2]), items[1::2], strict=True))

    def add(self, _: None) -> None:
        items, target = self.since_mark(), self.stack[-1]
        if type(target) is not set:
            refuse("adds to something that is no set")
        target.update(map(_text, items))

    def name_of(self, path: str) -> None:
        if path not in self.names:
            readable = path.isascii() and path.isprintable() and len(path) <= _LONGEST_NAME
            shown = path.replace(" ", ".") if readable else "something with an unreadable name"
            refuse(f"asks for {shown}, which is not on the list of what it may name")
        self.stack.append(Listed(path, self.names[path]))

    def name_on_stack(self, _: None) -> None:
        name, module = _text(self.stack.pop()), _text(self.stack.pop())
        self.name_of(f"{module} {name}")

    def construct(self, _: None) -> None:
        arguments, target = self.stack.pop(), self.stack.pop()
        if not isinstance(target, Listed) or not callable(target.meaning) or type(arguments) is not tuple:
            refuse("calls something that is no listed function")
        made = target.meaning(*arguments)
        if isinstance(made, bytes | str | set) and not any(made is argument for argument in arguments):
            # Pickle writes what each such call is given; one large text, fetched from the memo for a thousand calls,
            # would make gigabytes of a megabyte.
            self.allowance -= len(made)
            if self.allowance < 0:
                refuse("makes more of its values than it holds")
        self.stack.append(made)

    def build(self, _: None) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Stateful):
            target.set_state(state)
        elif type(target) is not dict or (state is not None and state != {}):
            refuse("sets attributes of an object")

    def look_up(self, _: None) -> None:
        if self.persistent is None:
            refuse("refers to values outside itself")
        self.stack.append(self.persistent(self.stack.pop()))


def _text(value: Any) -> str:
    """Return a key; only text, whose hash cannot be chosen to collide."""
    if type(value) is not str:
        refuse("has a key or a name that is no text")
    return value


_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_LENGTH_BYTES = {
    "SHORT_BINBYTES": 1,
    "BINBYTES": 4,
    "BINBYTES8": 8,
    "BYTEARRAY8": 8,
    "SHORT_BINSTRING": 1,
    "BINSTRING": 4,
}
_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG1", "LONG", "BINFLOAT")
_TEXTS = ("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
_WITHOUT_EFFECT = frozenset(("PROTO", "FRAME"))
_NEW_VALUE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.update([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
    "ADDITEMS": _Machine.add,
    "GLOBAL": _Machine.name_of,
    "STACK_GLOBAL": _Machine.name_on_stack,
    "REDUCE": _Machine.construct,
    "NEWOBJ": _Machine.construct,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.look_up,
}
_KNOWN = frozenset((*_NUMBERS, *_TEXTS, *_WITHOUT_EFFECT, *_NEW_VALUE, *_INSTRUCTIONS, "STOP"))
