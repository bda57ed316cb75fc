"""PNG, JPEG and WebP files as the chunks or segments they consist of; no pixel is decoded."""

import struct
import zlib
from collections.abc import Iterator

from synthface.core.errors import DataError

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8"


def png_chunks(content: bytes) -> Iterator[bytes]:
    """Yield the chunks of a PNG file, each with its length, kind and checksum.

    Raises:
        DataError: it ends inside a chunk.
    """
    at = len(PNG_START)
    while at < len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if end > len(content):
            raise DataError("a PNG file that ends inside a chunk")
        yield content[at:end]
        at = end


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk as it stands in a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def jpeg_segments(content: bytes) -> tuple[list[bytes], bytes]:
    """Split a JPEG file's segments up to the first scan from the rest of the file.

    Raises:
        DataError: they are damaged.
    """
    segments: list[bytes] = []
    at = 2
    while content[at : at + 2] != b"\xff\xda":
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if content[at : at + 1] != b"\xff" or end < at + 4 or end > len(content):
            raise DataError("a JPEG file with damaged segments")
        segments.append(content[at:end])
        at = end
    return segments, content[at:]


def webp_chunks(content: bytes) -> Iterator[bytes]:
    """Yield the chunks of a WebP file, each with its kind and length.

    Raises:
        DataError: no WebP file, or one that ends inside a chunk.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP" or len(content) < 20:
        raise DataError("no PNG, JPEG or WebP image")
    at = 12
    while at < len(content):
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        end = at + 8 + length + length % 2
        if len(content) < end or at + 8 > len(content):
            raise DataError("a WebP file that ends inside a chunk")
        yield content[at:end]
        at = end


def webp_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk as it stands in a WebP file."""
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def webp_file(chunks: list[bytes]) -> bytes:
    """Return the file that consists of some chunks."""
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body
