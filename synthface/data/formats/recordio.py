"""InsightFace's training sets: ``train.rec``, ``train.idx`` and ``property``, without mxnet.

The container is dmlc-core's RecordIO (``dmlc/recordio.h``): a record is the little-endian word 0xced7230a, a word with
its length (29 bits) and part number (3 bits), and the data padded to four bytes. Data that holds the magic word at a
multiple of four is cut there: the word is left out, and the parts are numbered 1 (first), 2 (middle), 3 (last).

A record is MXNet's ``IRHeader`` (flag uint32, label float32, id uint64, id2 uint64; with flag = n > 0, n float32 labels
follow) and an image file. Record 0 has no image: its labels are one more than the last image's key, and one more than
the last key of the records behind the images, which give each identity's range of keys.
"""

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from synthface.core.errors import DataError
from synthface.data.formats.image_header import MAX_IMAGE_BYTES, guess_suffix
from synthface.data.formats.item import Item, LabelTable
from synthface.data.formats.sidecar import SIDECAR, metadata_line, with_sidecar

MAGIC = struct.pack("<I", 0xCED7230A)
_LENGTH_BITS = 29
_MAX_LENGTH = 2**_LENGTH_BITS - 1
_MAX_RECORD_BYTES = MAX_IMAGE_BYTES + 2**16  # an image, its header and labels
_MAX_EXACT = 2**24  # whole numbers up to here have their own float32
_HEADER = struct.Struct("<IfQQ")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_MAX_INDEX_LINE = 64


@dataclass(frozen=True)
class Unpacked:
    """A record's content: its flag, labels (one if the flag is 0), id, and the image file behind them."""

    flag: int
    labels: tuple[float, ...]
    id: int
    image: bytes


def write_record(stream: IO[bytes], data: bytes) -> int:
    """Append a record, cut where its data holds the magic word; return the bytes written."""
    cuts = []
    at = data.find(MAGIC)
    while at >= 0:
        if at % 4 == 0:
            cuts.append(at)
        at = data.find(MAGIC, at + (4 if at % 4 == 0 else 1))
    starts = [0, *(cut + 4 for cut in cuts)]
    written = 0
    for k, (start, end) in enumerate(zip(starts, [*cuts, len(data)], strict=True)):
        part = _WHOLE if not cuts else _FIRST if k == 0 else _LAST if k == len(cuts) else _MIDDLE
        written += stream.write(MAGIC + struct.pack("<I", part << _LENGTH_BITS | end - start))
        written += stream.write(data[start:end] + bytes(-(end - start) % 4))
    return written


def read_record(stream: IO[bytes]) -> bytes | None:
    """Read the record at the stream's position, put together again; None at the end of the file.

    Raises:
        DataError: no record there, cut short, in wrong order, or larger than any image may be.
    """
    parts: list[bytes] = []
    total = 0
    while True:
        head = stream.read(8)
        if not head and not parts:
            return None
        if len(head) < 8:
            raise DataError("the file ends inside a record")
        if head[:4] != MAGIC:
            raise DataError("no record where one should begin (wrong magic number)")
        word = struct.unpack("<I", head[4:])[0]
        part, length = word >> _LENGTH_BITS, word & _MAX_LENGTH
        if part not in ((_MIDDLE, _LAST) if parts else (_WHOLE, _FIRST)):
            raise DataError(f"a record's part number {part} where another should be")
        total += length + 4
        if total > _MAX_RECORD_BYTES:
            raise DataError(f"a record of more than {MAX_IMAGE_BYTES // 2**20} MB")
        data = stream.read(length + -length % 4)
        if len(data) < length + -length % 4:
            raise DataError("the file ends inside a record")
        parts.append(data[:length])
        if part in (_WHOLE, _LAST):
            return MAGIC.join(parts)


def pack(labels: tuple[float, ...], image: bytes, *, key: int) -> bytes:
    """Return a record's content; a single label stands in the header, several behind it."""
    if len(labels) == 1:
        return _HEADER.pack(0, labels[0], key, 0) + image
    return _HEADER.pack(len(labels), 0.0, key, 0) + struct.pack(f"<{len(labels)}f", *labels) + image


def unpack(data: bytes) -> Unpacked:
    """Take a record's content apart.

    Raises:
        DataError: shorter than its header says.
    """
    if len(data) < _HEADER.size:
        raise DataError("a record shorter than its header")
    flag, label, id_, _ = _HEADER.unpack_from(data)
    end = _HEADER.size + 4 * flag
    if end > len(data):
        raise DataError(f"a record shorter than its {flag} labels")
    labels = struct.unpack_from(f"<{flag}f", data, _HEADER.size) if flag else (label,)
    return Unpacked(flag, labels, id_, data[end:])


def read_recordio(rec: Path) -> Iterator[Item]:
    """Yield the images of ``NAME.rec``, in the order of ``NAME.idx`` if that stands beside it.

    Identities are the labels in six digits, unless a sidecar of ours names them.

    Raises:
        DataError: names the file, the record and what is wrong.
    """
    sidecar = rec.with_name(SIDECAR)
    if sidecar.is_file():
        yield from with_sidecar(sidecar, (record.image for _, record in _image_records(rec)))
        return
    for key, record in _image_records(rec):
        label = _whole(record.labels[0], f"{rec}, record {key}: the label")
        identity = f"{label:06d}"
        yield Item(record.image, identity, f"{identity}/{key:08d}{guess_suffix(record.image)}", label)


def _image_records(rec: Path) -> Iterator[tuple[int, Unpacked]]:
    """Yield keys and records of images alone, whatever else the file holds."""
    end: int | None = None
    for key, record in _records(rec):
        if key == 0 and record.flag > 0:
            # A float holds no count above 2^24 exactly (Glint360K has 17 million); the ranges behind hold no image.
            if record.labels[0] <= _MAX_EXACT or not math.isfinite(record.labels[0]):
                end = _whole(record.labels[0], f"{rec}, record 0: the number of images")
        elif end is not None and key >= end:
            continue  # an identity's range
        elif record.image:
            yield key, record
        elif record.flag < 2:
            raise DataError(f"{rec}, record {key}: it holds no image")


def _records(rec: Path) -> Iterator[tuple[int, Unpacked]]:
    index = rec.with_suffix(".idx")
    with rec.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        places = _read_index(index, size) if index.is_file() else _in_a_row()
        position = n_read = 0
        for key, offset in places:
            try:
                if offset is not None and offset != position:
                    stream.seek(offset)
                data = read_record(stream)
                if data is None:
                    break
                n_read += len(data)
                if n_read > size:
                    raise DataError("the .idx names records more than once")
                yield key, unpack(data)
            except DataError as error:
                raise DataError(f"{rec}, record {key}: {error}") from None
            position = stream.tell()


def _in_a_row() -> Iterator[tuple[int, int | None]]:
    key = 0
    while True:
        yield key, None
        key += 1


def _read_index(path: Path, rec_bytes: int) -> Iterator[tuple[int, int | None]]:
    with path.open("rb") as lines:
        number = 0
        while line := lines.readline(_MAX_INDEX_LINE):
            number += 1
            words = line.split()
            if len(words) != 2 or not all(word.isdigit() for word in words):
                raise DataError(f"{path}, line {number}: not '<key> <offset>'")
            if int(words[1]) >= rec_bytes:
                raise DataError(f"{path}, line {number}: an offset behind the end of the .rec file; it was cut short")
            yield int(words[0]), int(words[1])


def _whole(value: float, what: str) -> int:
    if not math.isfinite(value) or value != int(value) or not 0 <= value <= _MAX_EXACT:
        raise DataError(f"{what} is {value:g}, no whole number from 0 to 2^24")
    return int(value)


class RecordIOSink:
    """Writes ``train.rec``, ``train.idx``, ``property`` and the sidecar into a folder.

    Behind the images stand the identities' ranges of keys, as InsightFace's own sets have them, if every identity's
    images came in one run; else none, which its trainers take as well.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rec = (folder / "train.rec").open("w+b")
        self._idx = (folder / "train.idx").open("w", encoding="ascii")
        self._sidecar = (folder / SIDECAR).open("w", encoding="utf-8")
        self._labels = LabelTable()
        self._starts: list[int] = []  # first key of each run of one identity
        self._last: int | None = None
        self._next_key = 0
        self._position = 0
        self._shape = (0, 0)
        self._append((0.0, 0.0), b"")  # written again at the end, when the numbers are known

    def add(self, item: Item) -> None:
        """Write one image."""
        if max(item.label or 0, self._next_key + len(self._labels)) >= _MAX_EXACT - 2:
            raise DataError("RecordIO keeps labels and counts as float32, exact to 2^24; divide the set")
        label = self._labels.label(item)
        if label != self._last:
            self._starts.append(self._next_key)
            self._last = label
        if self._next_key == 1:
            self._shape = (item.header.height, item.header.width)
        self._append((float(label),), item.content)
        self._sidecar.write(metadata_line(item))

    def finish(self) -> None:
        """Write the identities' ranges and the header's numbers."""
        end = self._next_key
        if len(self._starts) == len(self._labels):
            for start, stop in zip(self._starts, [*self._starts[1:], end], strict=True):
                self._append((float(start), float(stop)), b"")
        header = pack((float(end), float(self._next_key)), b"", key=0)
        self._rec.seek(0)
        write_record(self._rec, header)
        self.close()
        (self._folder / "property").write_text(f"{self._labels.n_classes},{self._shape[0]},{self._shape[1]}\n")

    def _append(self, labels: tuple[float, ...], image: bytes) -> None:
        self._idx.write(f"{self._next_key}\t{self._position}\n")
        self._position += write_record(self._rec, pack(labels, image, key=self._next_key))
        self._next_key += 1

    def close(self) -> None:
        """Close the files; what was not finished is not a set."""
        for stream in (self._rec, self._idx, self._sidecar):
            stream.close()
