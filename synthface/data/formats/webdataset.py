"""WebDataset: tar shards, a sample's files side by side (``KEY.jpg``, ``KEY.cls``, ``KEY.json``).

A member's key is its path up to the first dot of the file name; members with one key in a row are one sample, as the
webdataset library reads them. ``.cls`` holds the label; ``.json`` what else is known, if one of ours then everything.
"""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from synthface.core.errors import DataError
from synthface.core.hashing import canonical_json
from synthface.data.formats.image_header import EXTENSIONS, IMAGE_SUFFIXES, MAX_IMAGE_BYTES
from synthface.data.formats.item import Item, LabelTable
from synthface.data.formats.sidecar import is_item_metadata, item_from_metadata, item_metadata
from synthface.data.formats.tar import read_members, write_end, write_member
from synthface.data.untrusted import (
    MAX_TEXT_BYTES,
    printable,
    read_json_object,
    safe_identity,
    safe_label,
    safe_name,
)

_DECOMPRESSORS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_LIMITS = {suffix.removeprefix("."): MAX_IMAGE_BYTES for suffix in IMAGE_SUFFIXES} | dict.fromkeys(
    ("cls", "json"), MAX_TEXT_BYTES
)
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, OverflowError)  # of the decompressors
_BUFFER_BYTES = 2**17


def read_webdataset(shards: list[Path]) -> Iterator[Item]:
    """Yield the samples of the shards, one in memory at a time.

    Raises:
        DataError: names the shard, the sample and what is wrong.
    """
    for shard in shards:
        for key, files in _samples(shard):
            try:
                yield _item(key, files)
            except DataError as error:
                raise DataError(f"{shard}, sample {printable(key)}: {error}") from None


def _item(key: str, files: dict[str, bytes]) -> Item:
    images = [extension for extension in files if f".{extension}" in IMAGE_SUFFIXES]
    if len(images) != 1:
        raise DataError(f"{len(images)} images; a sample has one (.jpg, .png or .webp)")
    content = files[images[0]]
    fields = read_json_object(files["json"]) if "json" in files else {}
    if is_item_metadata(fields):
        return item_from_metadata(content, fields)
    label = _label(files["cls"]) if "cls" in files else safe_label(fields.get("label"))
    identity = fields.get("identity", None if label is None else f"{label:06d}")
    if identity is None:
        raise DataError("neither .cls nor .json says who it shows")
    return Item(content, safe_identity(identity), safe_name(f"{key}.{images[0]}"), label, fields)


def _label(text: bytes) -> int:
    word = text.strip()
    if not word.isdigit() or len(word) > 18:
        raise DataError(f"its .cls is {printable(word)}, no whole number from 0 on")
    return int(word)


def _samples(shard: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield (key, content by extension) of samples in a row."""
    current: tuple[str, dict[str, bytes]] | None = None
    for name, content in _members(shard):
        key, extension = _split_name(name)
        if current is None or key != current[0]:
            if current is not None:
                yield current
            current = key, {}
        if extension in current[1]:
            raise DataError(f"{shard}, sample {printable(key)}: two files with the ending .{extension}")
        current[1][extension] = content
    if current is not None:
        yield current


def _split_name(name: str) -> tuple[str, str]:
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return folder + slash + stem, extension.lower()


def _members(shard: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the members that belong to samples."""
    try:
        with _open_shard(shard) as stream:
            for name, content in read_members(stream, _limit):
                yield safe_name(name.removeprefix("./")), content
    except _DAMAGED as error:
        raise DataError(f"{shard} is no whole tar archive ({error!s:.80})") from None
    except DataError as error:
        raise DataError(f"{shard}: {error}") from None


def _limit(name: str) -> int | None:
    """Return the bytes that a member may have; None where it belongs to no sample."""
    return _LIMITS.get(_split_name(name)[1])


def _open_shard(shard: Path) -> IO[bytes]:
    with shard.open("rb") as stream:
        start = stream.read(6)
    for magic, decompress in _DECOMPRESSORS.items():
        if start.startswith(magic):
            return decompress(shard, "rb")  # type: ignore[operator]
    return shard.open("rb", buffering=_BUFFER_BYTES)


class WebDatasetSink:
    """Writes ``shard-000000.tar`` and so on, ``shard_size`` samples each; the same items give the same bytes."""

    def __init__(self, folder: Path, *, shard_size: int = 10_000) -> None:
        self._folder = folder
        self._shard_size = shard_size
        self._labels = LabelTable()
        self._n_written = 0
        self._shard: IO[bytes] | None = None

    def add(self, item: Item) -> None:
        """Write one sample."""
        label = self._labels.label(item)
        if self._shard is None:
            number = self._n_written // self._shard_size
            self._shard = (self._folder / f"shard-{number:06d}.tar").open("wb", buffering=_BUFFER_BYTES)
        key = f"{self._n_written:09d}"
        write_member(self._shard, f"{key}{EXTENSIONS[item.header.format]}", item.content)
        write_member(self._shard, f"{key}.cls", str(label).encode())
        write_member(self._shard, f"{key}.json", canonical_json(item_metadata(item)).encode())
        self._n_written += 1
        if self._n_written % self._shard_size == 0:
            self.finish()

    def finish(self) -> None:
        """End the shard that is open."""
        if self._shard is not None:
            write_end(self._shard)
        self.close()

    def close(self) -> None:
        """Close the shard that is open."""
        if self._shard is not None:
            self._shard.close()
            self._shard = None
