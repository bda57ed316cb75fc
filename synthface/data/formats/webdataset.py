"""WebDataset: tar shards, a sample's files side by side (``KEY.jpg``, ``KEY.cls``, ``KEY.json``).

A member's key is its path up to the first dot of the file name; members with one key in a row are one sample, as the
webdataset library reads them. ``.cls`` holds the label; ``.json`` what else is known, if one of ours then everything.
"""

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from synthface.core.errors import DataError
from synthface.core.hashing import canonical_json
from synthface.data.formats.item import (
    EXTENSIONS,
    IMAGE_SUFFIXES,
    MAX_IMAGE_BYTES,
    MAX_TEXT_BYTES,
    Item,
    LabelTable,
    printable,
    read_json_object,
    safe_identity,
    safe_label,
    safe_name,
)
from synthface.data.formats.sidecar import item_from_metadata, item_metadata

_DECOMPRESSORS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_LIMITS = {suffix.removeprefix("."): MAX_IMAGE_BYTES for suffix in IMAGE_SUFFIXES} | dict.fromkeys(
    ("cls", "json"), MAX_TEXT_BYTES
)
_DAMAGED = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, OverflowError, RecursionError)


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
    if {"identity", "name", "sha256", "fields"} <= fields.keys():
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
        with _open_shard(shard) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # else it keeps a record of each in memory
                name = member.name.removeprefix("./")
                limit = _LIMITS.get(_split_name(name)[1])
                if member.isdir() or limit is None:
                    continue
                yield safe_name(name), _content(member, archive, limit)
    except _DAMAGED as error:
        raise DataError(f"{shard} is no whole tar archive ({error!s:.80})") from None
    except DataError as error:
        raise DataError(f"{shard}: {error}" if str(shard) not in str(error) else str(error)) from None


def _content(member: tarfile.TarInfo, archive: tarfile.TarFile, limit: int) -> bytes:
    if not member.isreg() or member.issparse():
        raise DataError(f"{printable(member.name)} is a link or no regular file")
    if not 0 <= member.size <= limit:
        raise DataError(f"{printable(member.name)} has more than {limit // 2**20} MB")
    stream = archive.extractfile(member)
    content = stream.read() if stream else b""
    if len(content) != member.size:
        raise DataError(f"the archive ends inside {printable(member.name)}")
    return content


class _Limited(io.RawIOBase):
    """A stream that refuses the huge reads a forged header can ask tarfile for."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_IMAGE_BYTES + tarfile.RECORDSIZE:
            raise DataError("a member or header of absurd size")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        self._stream.close()
        super().close()


def _open_shard(shard: Path) -> Any:
    with shard.open("rb") as stream:
        start = stream.read(6)
    opener = next((opener for magic, opener in _DECOMPRESSORS.items() if start.startswith(magic)), None)
    return _Limited(opener(shard, "rb") if opener else shard.open("rb"))  # type: ignore[operator]


class WebDatasetSink:
    """Writes ``shard-000000.tar`` and so on, ``shard_size`` samples each; the same items give the same bytes."""

    def __init__(self, folder: Path, *, shard_size: int = 10_000) -> None:
        self._folder = folder
        self._shard_size = shard_size
        self._labels = LabelTable()
        self._n_written = 0
        self._shard: tarfile.TarFile | None = None

    def add(self, item: Item) -> None:
        """Write one sample."""
        label = self._labels.label(item)
        if self._shard is None:
            number = self._n_written // self._shard_size
            self._shard = tarfile.open(  # noqa: SIM115  (stays open over many calls)
                self._folder / f"shard-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT
            )
        key = f"{self._n_written:09d}"
        self._append(self._shard, f"{key}{EXTENSIONS[item.header.format]}", item.content)
        self._append(self._shard, f"{key}.cls", str(label).encode())
        self._append(self._shard, f"{key}.json", canonical_json(item_metadata(item)).encode())
        self._n_written += 1
        if self._n_written % self._shard_size == 0:
            self.close()

    @staticmethod
    def _append(shard: tarfile.TarFile, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)  # owner, group and time stay 0
        member.size = len(content)
        shard.addfile(member, io.BytesIO(content))
        shard.members.clear()  # type: ignore[attr-defined]

    def finish(self) -> None:
        """Close the last shard."""
        self.close()

    def close(self) -> None:
        """Close the shard that is open."""
        if self._shard is not None:
            self._shard.close()
            self._shard = None
