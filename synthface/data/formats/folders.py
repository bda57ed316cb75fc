"""A folder per identity, as torchvision's ImageFolder and InsightFace's trainer read it."""

import os
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from synthface.core.errors import DataError
from synthface.data.formats.image_header import EXTENSIONS, IMAGE_SUFFIXES, MAX_IMAGE_BYTES
from synthface.data.formats.item import Item, LabelTable
from synthface.data.formats.sidecar import SIDECAR, item_from_metadata, metadata_line
from synthface.data.identity_names import composed
from synthface.data.untrusted import json_lines, safe_identity, safe_name

_PLAIN = " !#$&'()+,;=@[]{}~"  # beside letters, digits and _.-~, allowed in a folder's name on every system
_READ_ONLY = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_folders(root: Path) -> Iterator[Item]:
    """Yield the images below the identities' folders, sorted by name; or in a sidecar's order, if ours stands there.

    Files with other endings than an image's are no part of the format; links are not followed. Two folders whose
    names differ in how accents are written alone are one person's.

    Raises:
        DataError: names the file and what is wrong.
    """
    sidecar = root / SIDECAR
    if sidecar.is_file():
        yield from _read_listed(root, sidecar)
        return
    labels: dict[str, int] = {}
    for folder in _entries(root, folders=True):
        identity = safe_identity(composed(folder.name))
        label = labels.setdefault(identity, len(labels))
        for name in _image_names(Path(folder.path), folder.name):
            yield Item(_read(f"{root}/{name}"), identity, safe_name(name), label)


def _read_listed(root: Path, sidecar: Path) -> Iterator[Item]:
    folder = ""
    for number, line in enumerate(json_lines(sidecar), 1):
        try:
            file = safe_name(line.get("file"))
            if file.rpartition("/")[0] != folder:
                folder = file.rpartition("/")[0]
                if (root / folder).resolve() != root.resolve() / folder:
                    raise DataError(f"{root / folder} is a link, which is not followed")
            yield item_from_metadata(_read(f"{root}/{file}"), line)
        except DataError as error:
            raise DataError(f"{sidecar}, line {number}: {error}") from None


def _image_names(folder: Path, name: str) -> Iterator[str]:
    for entry in _entries(folder, folders=False):
        if entry.is_dir(follow_symlinks=False):
            yield from _image_names(Path(entry.path), f"{name}/{entry.name}")
        elif entry.name.lower().endswith(IMAGE_SUFFIXES):
            yield f"{name}/{entry.name}"


def _entries(folder: Path, *, folders: bool) -> list[os.DirEntry[str]]:
    """Return folders, or folders and regular files, sorted; one folder's names at a time are in memory."""
    try:
        with os.scandir(folder) as entries:
            found = [
                entry
                for entry in entries
                if entry.is_dir(follow_symlinks=False) or (not folders and entry.is_file(follow_symlinks=False))
            ]
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror})") from None
    return sorted(found, key=lambda entry: os.fsencode(entry.name))


def _read(path: str) -> bytes:
    """Read a regular file within the limit; looked at once it is open, so that nothing can change between."""
    try:
        descriptor = os.open(path, _READ_ONLY)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{path} is no regular file")
            if status.st_size > MAX_IMAGE_BYTES:
                raise DataError(f"{path} has more than {MAX_IMAGE_BYTES // 2**20} MB")
            return _read_all(descriptor, status.st_size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DataError(f"{path} is missing or is no regular file ({error.strerror})") from None


def _read_all(descriptor: int, size: int) -> bytes:
    content = os.read(descriptor, size)
    while len(content) < size and (more := os.read(descriptor, size - len(content))):
        content += more
    return content


class FoldersSink:
    """Writes ``IDENTITY/NAME`` files and the sidecar; characters that no folder can carry become ``%xx``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._labels = LabelTable()
        self._sidecar = (folder / SIDECAR).open("w", encoding="utf-8")
        self._n_written = 0

    def add(self, item: Item) -> None:
        """Write one image."""
        self._labels.label(item)
        folder = folder_name(item.identity)
        stem = folder_name(PurePosixPath(item.name).stem)
        suffix = EXTENSIONS[item.header.format]
        file = f"{folder}/{stem}{suffix}"
        try:
            self._write(file, item.content)
        except FileNotFoundError:
            (self._folder / folder).mkdir()
            self._write(file, item.content)
        except FileExistsError:  # two folders of the source with one person's photos
            file = f"{folder}/{stem}-{self._n_written:09d}{suffix}"
            self._write(file, item.content)
        self._sidecar.write(metadata_line(item, file=file))
        self._n_written += 1

    def _write(self, file: str, content: bytes) -> None:
        with open(f"{self._folder}/{file}", "xb") as stream:  # noqa: PTH123  (a Path takes half as long as the file)
            stream.write(content)

    def finish(self) -> None:
        """Close the sidecar."""
        self.close()

    def close(self) -> None:
        """Close the sidecar."""
        self._sidecar.close()


@lru_cache(maxsize=4096)
def folder_name(text: str) -> str:
    """Return a text as the name of a folder or file; different texts have different names.

    Raises:
        DataError: too long for a file system even so.
    """
    name = text if text.isalnum() else quote(text, safe=_PLAIN)
    if name.startswith(".") or name.endswith((".", " ")):
        name = name.replace(".", "%2E").replace(" ", "%20")
    if len(name.encode()) > 200:
        raise DataError(f"{name[:40]}... is too long for a folder's name")
    return name
