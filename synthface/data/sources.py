"""Where photos come from: folders, tar archives, RecordIO and parquet, listed first, then read one at a time.

Nothing is extracted. A labelled set (RecordIO, parquet) is read once to list its records and once for their images.
"""

import bz2
import gzip
import lzma
import os
import stat
import sys
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol, Self

from synthface.core.errors import DataError
from synthface.data.formats import Source, open_labelled

MAX_FILE_BYTES = 256 * 2**20  # no photo is larger; such a file is not even read
_DECOMPRESSORS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_UNREADABLE = (  # ValueError, OverflowError: sizes beyond any offset
    OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error, lzma.LZMAError, tarfile.TarError,
)  # fmt: skip


@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    Attributes:
        source: the folder, archive or labelled set.
        name: path inside the source, with forward slashes, always valid text.
        n_bytes: its size.
        location: path on disk, offset in the (decompressed) archive, or number of the record in a labelled set.
        problem: why it cannot be read, where the listing already shows it.
        identity: who it shows, where a labelled set says so; elsewhere the name tells.
    """

    source: Path
    name: str
    n_bytes: int = 0
    location: str | int = 0
    problem: str | None = None
    identity: str | None = None

    @property
    def fingerprint(self) -> list[Any]:
        """What tells the file from others without reading it, as JSON."""
        return [self.name, self.n_bytes, self.problem, *([self.identity] if self.identity is not None else [])]


class _Opened(Protocol):
    """A source of many files in one, open for reading."""

    def read(self, file: SourceFile) -> bytes | DataError: ...

    def close(self) -> None: ...


def list_source(source: Path) -> list[SourceFile]:
    """List a folder (sorted by name), a tar archive (compressed or not) or a labelled set (both in their own order).

    Folders without any file, links that lead nowhere or to folders, and names that leave an archive are listed
    with their problem, so that nothing goes missing silently.

    Raises:
        DataError: none of these, or a damaged archive or labelled set.
    """
    if not source.exists():
        raise DataError(f"SOURCE {source} does not exist")
    if (labelled := open_labelled(source)) is not None:
        return list(_list_records(labelled))
    if source.is_dir():
        return list(_list_folder(source, source))
    try:
        with _open_archive(source) as stream:
            return _list_archive(source, stream)
    except _UNREADABLE as error:
        raise DataError(
            f"SOURCE {source} is neither a folder nor a whole tar archive ({error}), nor RecordIO or parquet; "
            "for a single photo give the folder it is in"
        ) from None


def read_files(files: Iterable[SourceFile]) -> Iterator[tuple[SourceFile, bytes | DataError]]:
    """Yield each file with its content, or with the reason why it has none, holding one at a time.

    Files of one archive or labelled set are read in a single pass if they come in its order.

    Raises:
        DataError: a labelled set is not what it was when it was listed.
    """
    source: Path | None = None
    opened: _Opened | None = None
    try:
        for file in files:
            if isinstance(file.location, str) or file.problem:
                yield file, _read_file(file)
                continue
            if opened is None or source != file.source:
                if opened is not None:
                    opened.close()
                source = file.source
                opened = _Archive(source) if file.identity is None else _Records(source)
            yield file, opened.read(file)
    finally:
        if opened is not None:
            opened.close()


def _read_file(file: SourceFile) -> bytes | DataError:
    if file.problem:
        return DataError(file.problem)
    try:
        return Path(str(file.location)).read_bytes()
    except OSError as error:
        return DataError(f"cannot be read ({error.strerror})")


class _Archive:
    """An open tar archive."""

    def __init__(self, path: Path) -> None:
        self._stream = _open_archive(path)

    def read(self, file: SourceFile) -> bytes | DataError:
        try:
            self._stream.seek(int(file.location))
            content = self._stream.read(file.n_bytes)
        except _UNREADABLE as error:
            return DataError(f"cannot be read from its archive ({error})")
        return content if len(content) == file.n_bytes else DataError("the archive ends inside this file")

    def close(self) -> None:
        self._stream.close()


class _Records:
    """An open labelled set: its records come one after the other, and for an earlier one it begins anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin()

    def _begin(self) -> None:
        labelled = open_labelled(self._path)
        self._items = labelled.items() if labelled is not None else iter(())
        self._number = -1  # of the last record read

    def read(self, file: SourceFile) -> bytes:
        number = int(file.location)
        if number <= self._number:
            self._begin()
        item = next(islice(self._items, number - self._number - 1, None), None)
        self._number = number
        if item is None or (item.name, item.identity, len(item.content)) != (file.name, file.identity, file.n_bytes):
            raise DataError(f"{self._path} was changed while it was read")
        return item.content

    def close(self) -> None:
        self._items = iter(())


def _list_records(labelled: Source) -> Iterator[SourceFile]:
    for k, item in enumerate(labelled.items()):
        yield SourceFile(labelled.path, item.name, len(item.content), k, identity=sys.intern(item.identity))


def _list_folder(root: Path, folder: Path) -> Iterator[SourceFile]:
    name = _text(folder.relative_to(root))
    try:
        with os.scandir(folder) as iterator:
            entries = sorted(iterator, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        yield SourceFile(root, name + "/", problem=f"folder cannot be read ({error.strerror})")
        return
    if not entries and folder != root:
        yield SourceFile(root, name + "/", problem="empty folder")
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _list_folder(root, Path(entry.path))
        else:
            yield _describe_file(root, Path(entry.path))


def _describe_file(root: Path, path: Path) -> SourceFile:
    name = _text(path.relative_to(root))
    try:
        status = path.stat()
    except OSError:
        return SourceFile(root, name, problem="a link that leads nowhere")
    problem = _size_problem(status.st_size)
    if stat.S_ISDIR(status.st_mode):  # never followed: it may lead back here
        problem = "a link to a folder, not followed; give that folder as a SOURCE of its own"
    elif not stat.S_ISREG(status.st_mode):
        problem = "not a regular file"
    return SourceFile(root, name, status.st_size, str(path), problem)


def _open_archive(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        start = stream.read(6)
    for magic, decompress in _DECOMPRESSORS.items():
        if start.startswith(magic):
            return decompress(path)  # type: ignore[operator]
    return path.open("rb")


class _Member(tarfile.TarInfo):
    """A member of which a damaged header is an error: tarfile takes any but the first for the end of the archive.

    The end is a block of zeros. An archive without one was cut short, if only between two members.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """Return the next member."""
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the block of zeros; not in typeshed
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} at byte {archive.offset:,}") from None


def _list_archive(source: Path, stream: IO[bytes]) -> list[SourceFile]:
    files: dict[str, SourceFile] = {}  # by name: a later member replaces an earlier one, as when extracting
    folders: set[str] = set()
    with tarfile.open(fileobj=stream, mode="r:", tarinfo=_Member) as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else it keeps a record of each in memory
            name = _text(member.name).removeprefix("./")
            if member.isdir():
                folders.add(name)
            else:
                files[name] = SourceFile(source, name, member.size, member.offset_data, _member_problem(member))
    filled = {parent for name in files for parent in _parents(name)} | {p for name in folders for p in _parents(name)}
    empty = [SourceFile(source, name + "/", problem="empty folder") for name in sorted(folders - filled - {"."})]
    return [*files.values(), *empty]


def _member_problem(member: tarfile.TarInfo) -> str | None:
    if member.name.startswith("/") or ".." in member.name.split("/"):
        return "its name leads out of the archive"
    if member.issym() or member.islnk():
        return "a link inside an archive, not followed"
    if not member.isreg() or member.issparse():
        return "not a regular file"
    return _size_problem(member.size)


def _size_problem(n_bytes: int) -> str | None:
    return f"larger than {MAX_FILE_BYTES // 2**20} MB" if n_bytes > MAX_FILE_BYTES else None


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:k]) for k in range(1, len(parts))]


def _text(name: str | Path) -> str:
    """Return a file name as valid text: bytes that are no UTF-8 are shown escaped."""
    text = name.as_posix() if isinstance(name, Path) else name
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
