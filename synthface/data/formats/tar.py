"""Tar archives of small files, member by member: POSIX.1-1988 (ustar), with GNU's and POSIX.1-2001's long names.

The standard library's tarfile takes a hundred microseconds for a member, most of a conversion's time, reads headers of
any length into memory, and takes a damaged header in the middle of an archive for its end.
"""

from collections.abc import Callable, Iterator
from typing import IO

from synthface.core.errors import DataError
from synthface.data.untrusted import printable

BLOCK = 512
_RECORD = 20 * BLOCK  # archives are padded to it
_MAX_HEADER_BYTES = 2**16  # of a long name or an extended header
_MAX_EXTENDED = 16  # such headers in front of one member
_SKIP_BYTES = 2**20
_CHECKSUM = slice(148, 156)
_REGULAR, _LONG_NAME, _LONG_LINK, _EXTENDED, _GLOBAL, _FOLDER, _GNU_SPARSE = b"0", b"L", b"K", b"x", b"g", b"5", b"S"
_WITHOUT_DATA = b"123456"  # links, devices, folders, pipes: whatever size they claim
_BLANK = (  # name, mode, owner, group, size, time, checksum, type, link, magic and version, names, device
    bytes(100) + b"0000644\0" + 2 * b"0000000\0" + 12 * b"\0" + b"00000000000\0" + 8 * b" " + _REGULAR + bytes(100)
    + b"ustar\x0000" + bytes(64) + bytes(16) + bytes(155 + 12)
)  # fmt: skip
_BLANK_SUM = sum(_BLANK)


def write_member(stream: IO[bytes], name: str, content: bytes) -> None:
    """Append a regular file of owner, group and time 0.

    Args:
        stream: the archive.
        name: at most 100 ASCII letters.
        content: of the file.
    """
    plain, size = name.encode("ascii"), b"%011o\0" % len(content)
    checksum = b"%06o\0 " % (_BLANK_SUM + sum(plain) + sum(size))
    head = plain.ljust(100, b"\0") + _BLANK[100:124] + size + _BLANK[136:148] + checksum + _BLANK[156:]
    stream.write(head + content + bytes(-len(content) % BLOCK))


def write_end(stream: IO[bytes]) -> None:
    """Append what ends an archive: two empty blocks, and more to fill a record."""
    stream.write(bytes(2 * BLOCK))
    stream.write(bytes(-stream.tell() % _RECORD))


def read_members(stream: IO[bytes], limit: Callable[[str], int | None]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the members that are wanted, one in memory at a time.

    Args:
        stream: the archive, not compressed or a decompressing stream.
        limit: gives the bytes that a member may have, by its name; None for those that are not wanted.

    Raises:
        DataError: the reason alone: damaged, cut short, a wanted member over its limit or no regular file.
    """
    long_name: str | None = None
    long_size: int | None = None
    n_extended = 0
    while (head := _header(stream)) is not None:
        kind, size = head[156:157], _number(head[124:136])
        if kind in (_LONG_NAME, _LONG_LINK, _EXTENDED, _GLOBAL):
            n_extended += 1
            if size > _MAX_HEADER_BYTES or n_extended > _MAX_EXTENDED:
                raise DataError("no whole tar archive (a header of absurd size, or a chain of them)")
            text = _content(stream, size)
            if kind == _LONG_NAME:
                long_name = _text(text)
            elif kind == _EXTENDED:
                entries = _extended(text)
                long_name, long_size = entries.get("path", long_name), _size(entries.get("size"))
            continue
        name = long_name or _name(head)
        size = 0 if kind in _WITHOUT_DATA else size if long_size is None else long_size
        long_name, long_size, n_extended = None, None, 0
        most = limit(name)
        if kind == _FOLDER or (kind == b"\0" and name.endswith("/")) or most is None:
            if kind == _GNU_SPARSE:
                raise DataError(f"{printable(name)} is a sparse file")
            _skip(stream, size, name)
        elif kind not in (_REGULAR, b"\0", b"7"):
            raise DataError(f"{printable(name)} is a link or no regular file")
        elif size > most:
            raise DataError(f"{printable(name)} has more than {most // 2**20} MB")
        else:
            yield name, _content(stream, size, name)


def _header(stream: IO[bytes]) -> bytes | None:
    """Return the header at the stream's position, None at the end of the archive."""
    head = stream.read(BLOCK)
    if not head:
        raise DataError("no whole tar archive (it stops without its end mark: cut short between two files)")
    if not head.strip(b"\0"):
        return None
    if len(head) < BLOCK:
        raise DataError("no whole tar archive (it ends inside a header)")
    checksum = _number(head[_CHECKSUM])
    total = sum(head) - sum(head[_CHECKSUM]) + 8 * 32
    # some old programs add the bytes as signed ones
    if checksum != total and checksum != total - 256 * sum(byte > 127 for byte in head[:148] + head[156:]):
        raise DataError("no whole tar archive (a header with a wrong checksum)")
    return head


def _number(field: bytes) -> int:
    """Read octal digits, or GNU's binary numbers."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    try:
        number = int(digits, 8) if digits else 0
    except ValueError:
        number = -1
    if number < 0:
        raise DataError("no whole tar archive (a header with something else where a number should be)")
    return number


def _name(head: bytes) -> str:
    name = _text(head[:100])
    prefix = _text(head[345:500]) if head[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _extended(text: bytes) -> dict[str, str]:
    """Read the records ``LENGTH KEY=VALUE`` of an extended header (POSIX.1-2001, pax)."""
    entries: dict[str, str] = {}
    while text:
        length, space, _ = text.partition(b" ")
        if not space or not length.isdigit() or len(length) > 6 or not len(length) + 2 <= int(length) <= len(text):
            raise DataError("no whole tar archive (a damaged extended header)")
        key, equals, value = text[len(length) + 1 : int(length)].removesuffix(b"\n").partition(b"=")
        if not equals or key.startswith(b"GNU.sparse"):
            raise DataError("no whole tar archive (an extended header without value, or a sparse file)")
        entries[_text(key)] = value.decode("utf-8", "surrogateescape")
        text = text[int(length) :]
    return entries


def _size(digits: str | None) -> int | None:
    if digits is not None and not (digits.isdecimal() and digits.isascii() and len(digits) < 20):
        raise DataError("no whole tar archive (an extended header with a wrong size)")
    return None if digits is None else int(digits)


def _content(stream: IO[bytes], size: int, name: str = "a header") -> bytes:
    padded = size + -size % BLOCK
    content = stream.read(padded)
    if len(content) < size:
        raise DataError(f"the archive ends inside {printable(name)}")
    return content[:size]


def _skip(stream: IO[bytes], size: int, name: str) -> None:
    """Read over a member; a seek would not notice that the archive ends inside."""
    left = size + -size % BLOCK
    while left > 0:
        found = len(stream.read(min(left, _SKIP_BYTES)))
        left -= found
        if not found:
            if left >= BLOCK:
                raise DataError(f"the archive ends inside {printable(name)}")
            return
