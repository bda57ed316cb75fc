"""Kind and size of an image file, without decoding a pixel, and the limits that hold for every image of a set."""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from synthface.core.errors import DataError
from synthface.data.images import DAMAGED_IMAGE, MAX_MEGAPIXELS

MAX_IMAGE_BYTES = 64 * 2**20
EXTENSIONS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_PNG_KINDS = {(8, 0), (8, 2), (8, 3), (8, 4), (8, 6)}  # bits a channel, type of colour
_JPEG_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_JPEG_WITH_LENGTH = frozenset((0xC4, 0xDB, 0xDD, 0xFE, *_JPEG_FRAMES, *range(0xE0, 0xF0)))


@dataclass(frozen=True)
class ImageHeader:
    """What the first bytes of an image file say: ``JPEG``, ``PNG`` or ``WEBP``, and its size in pixels."""

    format: str
    width: int
    height: int


def image_header(content: bytes) -> ImageHeader:
    """Return kind and size of an image file; only three decoders are offered the bytes, and no pixel is decoded.

    Files of the usual make are read here, all others by Pillow, which takes ten times as long.

    Raises:
        DataError: no JPEG, PNG or WebP file, or over the limits of bytes or pixels.
    """
    if len(content) > MAX_IMAGE_BYTES:
        raise DataError(f"an image of more than {MAX_IMAGE_BYTES // 2**20} MB")
    header = usual_header(content) or _header_by_pillow(content)
    if header.width * header.height > MAX_MEGAPIXELS * 1e6:
        raise DataError(f"{header.width}x{header.height} pixels is more than {MAX_MEGAPIXELS:g} megapixels")
    return header


def usual_header(content: bytes) -> ImageHeader | None:
    """Return kind and size of a whole file of the usual make, None where a closer look is needed."""
    if content.startswith(_PNG_START):
        return _png(content)
    if content.startswith(b"\xff\xd8\xff"):
        return _jpeg(content)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _webp(content)
    return None


def _png(content: bytes) -> ImageHeader | None:
    if len(content) < 33 or zlib.crc32(content[12:29]) != int.from_bytes(content[29:33], "big"):
        return None
    width, height, bits, colour, *method = struct.unpack_from(">IIBBBBB", content, 16)
    if (bits, colour) not in _PNG_KINDS or any(method) or not width or not height or content[-8:-4] != b"IEND":
        return None
    return ImageHeader("PNG", width, height)


def _jpeg(content: bytes) -> ImageHeader | None:
    """Walk the segments up to the first scan (ITU-T T.81, annex B)."""
    at, size, last = 2, None, len(content) - 4
    while at <= last and content[at] == 0xFF:
        marker, length = content[at + 1], content[at + 2] << 8 | content[at + 3]
        if marker == 0xDA:
            return size and ImageHeader("JPEG", *size)
        if marker not in _JPEG_WITH_LENGTH or length < 2 or at + 2 + length > last:
            return None
        if marker in _JPEG_FRAMES:
            if size or length < 8 or content[at + 4] != 8 or content[at + 9] not in (1, 3, 4):
                return None
            height, width = struct.unpack_from(">HH", content, at + 5)
            if not width or not height:
                return None
            size = width, height
        at += 2 + length
    return None


def _webp(content: bytes) -> ImageHeader | None:
    """Read the size of a file that is one lossy or lossless picture and nothing else."""
    if len(content) < 30 or int.from_bytes(content[4:8], "little") + 8 != len(content):
        return None
    if int.from_bytes(content[16:20], "little") + 20 > len(content):
        return None
    if content[12:16] == b"VP8 " and not content[20] & 1 and content[23:26] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, 26))
    elif content[12:16] == b"VP8L" and content[20] == 0x2F and not content[24] >> 5:
        sides = int.from_bytes(content[21:25], "little")
        width, height = (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    else:
        return None
    return ImageHeader("WEBP", width, height) if width and height else None


def _header_by_pillow(content: bytes) -> ImageHeader:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its warnings are about sizes, which are checked above
            with Image.open(io.BytesIO(content), formats=tuple(EXTENSIONS)) as image:
                header = ImageHeader(str(image.format), image.width, image.height)
    except UnidentifiedImageError:
        raise DataError("not a JPEG, PNG or WebP image") from None
    except Image.DecompressionBombError:
        raise DataError(f"an image of more than {MAX_MEGAPIXELS:g} megapixels") from None
    except DAMAGED_IMAGE as error:
        raise DataError(f"a damaged image ({error!s:.80})") from None
    if header.format not in EXTENSIONS:
        raise DataError("not a JPEG, PNG or WebP image")
    return header


def guess_suffix(content: bytes) -> str:
    """Return the file name ending that the first bytes call for; JPEG's where they are unknown."""
    if content.startswith(b"\x89PNG"):
        return ".png"
    return ".webp" if content.startswith(b"RIFF") and content[8:12] == b"WEBP" else ".jpg"
