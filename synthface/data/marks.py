"""The machine-readable mark that an image is synthetic: IPTC DigitalSourceType in XMP, put into the file as it is.

No pixel is decoded: a PNG gets an iTXt chunk, a JPEG an APP1 segment, a WebP an ``XMP`` chunk, where the XMP
specification (part 3, "Storage in Files") wants them. So a marked file without its mark is the very file that was
audited, byte for byte, and anybody can check that (``unmark_file``).
"""

import io
import struct
import warnings
from xml.sax.saxutils import quoteattr

from PIL import Image, UnidentifiedImageError

from synthface.core.errors import DataError
from synthface.data.image_containers import (
    JPEG_START,
    PNG_START,
    jpeg_segments,
    png_chunk,
    png_chunks,
    webp_chunk,
    webp_chunks,
    webp_file,
)

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP_KEYWORD = "XML:com.adobe.xmp"
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    Iptc4xmpExt:DigitalSourceType={source_type}
    dc:source={set_id}/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_PNG_XMP = XMP_KEYWORD.encode() + b"\x00\x00\x00\x00\x00"  # not compressed, no language, no translated keyword
_WEBP_XMP, _WEBP_ALPHA = 0x04, 0x10  # flags of the VP8X chunk


def xmp_packet(set_id: str) -> str:
    """Return the XMP packet of an image of the set ``set_id``."""
    return _PACKET.format(source_type=quoteattr(DIGITAL_SOURCE_TYPE), set_id=quoteattr(f"synthface:{set_id}"))


def mark_file(content: bytes, set_id: str) -> bytes:
    """Return a PNG, JPEG or WebP file with the mark that it is synthetic and which set it belongs to.

    Raises:
        DataError: none of these, damaged, it holds XMP data already, or it could not be had back without the mark.
    """
    if find_packet(content) is not None:
        raise DataError("it holds XMP data already, beside which no mark can stand")
    marked = _with_packet(content, xmp_packet(set_id).encode())
    if unmark_file(marked) != content:
        raise DataError("a file of an unusual make, which a mark would change for good; encode it anew")
    return marked


def _with_packet(content: bytes, packet: bytes) -> bytes:
    if content.startswith(PNG_START):
        chunks = list(png_chunks(content))
        return b"".join([PNG_START, *chunks[:1], png_chunk(b"iTXt", _PNG_XMP + packet), *chunks[1:]])
    if content.startswith(JPEG_START):
        segments, rest_of_file = jpeg_segments(content)
        after = next((k for k, part in enumerate(segments) if not _leads_a_jpeg(part)), len(segments))
        segment = b"\xff\xe1" + struct.pack(">H", 2 + len(_JPEG_XMP) + len(packet)) + _JPEG_XMP + packet
        return b"".join([JPEG_START, *segments[:after], segment, *segments[after:], rest_of_file])
    return _mark_webp(content, packet)


def unmark_file(content: bytes) -> bytes:
    """Return a marked file as it was before ``mark_file``, byte for byte; a file without XMP data unchanged.

    Raises:
        DataError: no PNG, JPEG or WebP file, or damaged.
    """
    if content.startswith(PNG_START):
        return PNG_START + b"".join(chunk for chunk in png_chunks(content) if not _is_png_xmp(chunk))
    if content.startswith(JPEG_START):
        segments, rest_of_file = jpeg_segments(content)
        return JPEG_START + b"".join(part for part in segments if not part[4:].startswith(_JPEG_XMP)) + rest_of_file
    chunks = [chunk for chunk in webp_chunks(content) if chunk[:4] != b"XMP "]
    if len(chunks) == 2 and chunks[0][:4] == b"VP8X":
        del chunks[0]  # it was put there for the mark alone
    elif chunks[0][:4] == b"VP8X":
        chunks[0] = _with_flags(chunks[0], chunks[0][8] & ~_WEBP_XMP)
    return webp_file(chunks)


def find_packet(content: bytes) -> str | None:
    """Return the XMP packet of an image file, None if it has none.

    Raises:
        DataError: no PNG, JPEG or WebP file, or damaged.
    """
    packets: list[bytes]
    if content.startswith(PNG_START):
        packets = [chunk[8 + len(_PNG_XMP) : -4] for chunk in png_chunks(content) if _is_png_xmp(chunk)]
    elif content.startswith(JPEG_START):
        parts = [part[4:] for part in jpeg_segments(content)[0]]
        packets = [part[len(_JPEG_XMP) :] for part in parts if part.startswith(_JPEG_XMP)]
    else:
        chunks = [chunk for chunk in webp_chunks(content) if chunk[:4] == b"XMP "]
        packets = [chunk[8 : 8 + int.from_bytes(chunk[4:8], "little")] for chunk in chunks]
    return packets[0].decode("utf-8", "replace") if packets else None


def read_mark(content: bytes) -> str | None:
    """Return the XMP packet of an image file if it says that the image is synthetic, else None.

    Raises:
        DataError: no PNG, JPEG or WebP file, or damaged.
    """
    packet = find_packet(content)
    return packet if packet is not None and DIGITAL_SOURCE_TYPE in packet else None


def _is_png_xmp(chunk: bytes) -> bool:
    return chunk[4:8] == b"iTXt" and chunk[8:].startswith(_PNG_XMP)


def _leads_a_jpeg(segment: bytes) -> bool:
    """Say whether a segment has to stand before an XMP one: JFIF and Exif do."""
    return segment[1] == 0xE0 or (segment[1] == 0xE1 and segment[4:].startswith(b"Exif\x00"))


def _mark_webp(content: bytes, packet: bytes) -> bytes:
    chunks = list(webp_chunks(content))
    if chunks[0][:4] == b"VP8X":
        chunks[0] = _with_flags(chunks[0], chunks[0][8] | _WEBP_XMP)
    else:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of sizes; no pixel is decoded here
                with Image.open(io.BytesIO(content), formats=("WEBP",)) as image:
                    width, height, has_alpha = image.width, image.height, image.mode == "RGBA"
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError):
            raise DataError("a damaged WebP file") from None
        flags = _WEBP_XMP | (_WEBP_ALPHA if has_alpha else 0)
        size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        chunks.insert(0, webp_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + size))
    return webp_file([*chunks, webp_chunk(b"XMP ", packet)])


def _with_flags(chunk: bytes, flags: int) -> bytes:
    return chunk[:8] + bytes([flags]) + chunk[9:]
