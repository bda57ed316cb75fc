"""A pickle machine that builds values and calls nothing.

Python's own unpickler is a machine whose instructions may import and call anything. This one has only the
instructions that data needs. ``pickletools.genops`` splits the bytes into instructions without executing them; a
global is looked up in the list that the caller gives, never imported; attributes are never set.
"""

import pickletools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

# A network of 1024 pixels takes some 50,000. Each instruction makes at most one small object.
MAX_INSTRUCTIONS = 2_000_000
_LONGEST_NAME = 120


class PickleRefused(Exception):  # noqa: N818 (says what happened)
    """The pickle is damaged, or asks for something that is not on the list."""


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
    stream: Any, names: Mapping[str, Any], *, persistent: Callable[[Any], Any] | None = None, prefix: str = ""
) -> Any:
    """Return the value of one pickle, leaving the stream behind its end.

    Args:
        stream: binary file, memory map or BytesIO.
        names: for each global that may occur, as ``module name``, its stand-in; functions are called with the
            pickle's arguments, anything else is only handed around.
        persistent: gives the value of a persistent id.
        prefix: text to put before the messages of errors.

    Raises:
        PickleRefused: another global, another instruction, too many of them, or a damaged pickle.
    """
    machine = _Machine(names, persistent)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_INSTRUCTIONS:
                _refuse(f"has more than {MAX_INSTRUCTIONS:,} instructions")
            if opcode.name == "STOP":
                return machine.result()
            machine.execute(opcode.name, argument)
    except PickleRefused as error:
        raise PickleRefused(f"{prefix}{error}") from None
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise PickleRefused(f"{prefix}is damaged ({type(error).__name__}: {error!s:.100})") from None
    raise PickleRefused(f"{prefix}ends too early")


def _refuse(reason: str) -> NoReturn:
    raise PickleRefused(reason)


class _Machine:
    """Stack, marks and memo of one pickle."""

    def __init__(self, names: Mapping[str, Any], persistent: Callable[[Any], Any] | None) -> None:
        self.names, self.persistent = names, persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def execute(self, name: str, argument: Any) -> None:
        if name in _ARGUMENT_IS_VALUE:
            self.stack.append(argument)
        elif name in _NEW_VALUE:
            self.stack.append(_NEW_VALUE[name]())
        elif name in _INSTRUCTIONS:
            _INSTRUCTIONS[name](self, argument)
        elif name not in _WITHOUT_EFFECT:
            _refuse(f"uses the instruction {name}, which no network needs")

    def result(self) -> Any:
        if len(self.stack) != 1 or self.marks:
            _refuse("is damaged (its end leaves values over)")
        return self.stack[0]

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def mark(self, _: None) -> None:
        self.marks.append(len(self.stack))

    def tuple_since_mark(self, _: None) -> None:
        self.stack.append(tuple(self.since_mark()))

    def tuple_of(self, size: int) -> None:
        if len(self.stack) < size:
            _refuse("is damaged (too few values)")
        self.stack[-size:] = [tuple(self.stack[-size:])]

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            _refuse("appends to something that is no list")
        target.extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            _refuse("sets items of something that is no dictionary")
        target.update(zip(map(_text, items[::2]), items[1::2], strict=True))

    def add(self, _: None) -> None:
        items, target = self.since_mark(), self.stack[-1]
        if type(target) is not set:
            _refuse("adds to something that is no set")
        target.update(map(_text, items))

    def name_of(self, path: str) -> None:
        if path not in self.names:
            readable = path.isascii() and path.isprintable() and len(path) <= _LONGEST_NAME
            shown = path.replace(" ", ".") if readable else "something with an unreadable name"
            _refuse(f"asks for {shown}, which is not on the list of what a network pickle may name")
        self.stack.append(Listed(path, self.names[path]))

    def name_on_stack(self, _: None) -> None:
        name, module = _text(self.stack.pop()), _text(self.stack.pop())
        self.name_of(f"{module} {name}")

    def construct(self, _: None) -> None:
        arguments, target = self.stack.pop(), self.stack.pop()
        if not isinstance(target, Listed) or not callable(target.meaning) or type(arguments) is not tuple:
            _refuse("calls something that is no listed function")
        self.stack.append(target.meaning(*arguments))

    def build(self, _: None) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Stateful):
            target.set_state(state)
        elif type(target) is not dict or (state is not None and state != {}):
            _refuse("sets attributes of an object")

    def look_up(self, _: None) -> None:
        if self.persistent is None:
            _refuse("refers to values outside itself")
        self.stack.append(self.persistent(self.stack.pop()))


def _text(value: Any) -> str:
    """Return a key; only text, whose hash cannot be chosen to collide."""
    if type(value) is not str:
        _refuse("has a key or a name that is no text")
    return value


_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT")
_TEXTS = ("SHORT_BINUNICODE", "BINUNICODE")
_BYTES = ("SHORT_BINBYTES", "BINBYTES", "BINBYTES8")
_ARGUMENT_IS_VALUE = frozenset((*_NUMBERS, *_TEXTS, *_BYTES))
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
    "TUPLE": _Machine.tuple_since_mark,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
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
