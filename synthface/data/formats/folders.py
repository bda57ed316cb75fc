"""A folder per identity, as torchvision's ImageFolder and InsightFace's trainer read it."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from synthface.core.errors import DataError
from synthface.data.formats.item import (
    EXTENSIONS,
    IMAGE_SUFFIXES,
    MAX_IMAGE_BYTES,
    Item,
    LabelTable,
    safe_identity,
    safe_name,
)
from synthface.data.formats.sidecar import SIDECAR, item_from_metadata, metadata_line, read_sidecar

_PLAIN = " !#$&'()+,;=@[]{}~"  # beside letters, digits and _.-~, allowed in a folder's name on every system


def read_folders(root: Path) -> Iterator[Item]:
    """Yield the images below the identities' folders, sorted by name; or in a sidecar's order, if ours stands there.

    Files with other endings than an image's are no part of the format; links are not followed.

    Raises:
        DataError: names the file and what is wrong.
    """
    sidecar = root / SIDECAR
    if sidecar.is_file():
        yield from _read_listed(root, sidecar)
        return
    for label, folder in enumerate(_entries(root, folders=True)):
        identity = safe_identity(folder.name)
        for name in _image_names(folder, folder.name):
            yield Item(_read(root / name), identity, safe_name(name), label)


def _read_listed(root: Path, sidecar: Path) -> Iterator[Item]:
    for number, line in enumerate(read_sidecar(sidecar), 1):
        try:
            yield item_from_metadata(_read(root / safe_name(line.get("file"))), line)
        except DataError as error:
            raise DataError(f"{sidecar}, line {number}: {error}") from None


def _image_names(folder: Path, name: str) -> Iterator[str]:
    for entry in _entries(folder, folders=False):
        if entry.is_dir():
            yield from _image_names(entry, f"{name}/{entry.name}")
        elif entry.suffix.lower() in IMAGE_SUFFIXES:
            yield f"{name}/{entry.name}"


def _entries(folder: Path, *, folders: bool) -> list[Path]:
    """Return folders, or folders and regular files, sorted; one folder's names at a time are in memory."""
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) or (not folders and entry.is_file(follow_symlinks=False))
            ]
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror})") from None
    return [folder / name for name in sorted(names, key=os.fsencode)]


def _read(path: Path) -> bytes:
    try:
        if path.is_symlink() or not path.is_file():
            raise DataError(f"{path} is missing or is no regular file")
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise DataError(f"{path} has more than {MAX_IMAGE_BYTES // 2**20} MB")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None


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
        file = f"{folder}/{stem}{EXTENSIONS[item.header.format]}"
        path = self._folder / file
        if path.exists():  # two folders of the source with one person's photos
            file = f"{folder}/{stem}-{self._n_written:09d}{EXTENSIONS[item.header.format]}"
            path = self._folder / file
        elif not path.parent.exists():
            path.parent.mkdir()
        path.write_bytes(item.content)
        self._sidecar.write(metadata_line(item, file=file))
        self._n_written += 1

    def finish(self) -> None:
        """Close the sidecar."""
        self.close()

    def close(self) -> None:
        """Close the sidecar."""
        self._sidecar.close()


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
