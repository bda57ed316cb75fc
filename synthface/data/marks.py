"""The machine-readable mark that an image is synthetic: IPTC DigitalSourceType in XMP.

Pillow drops ``xmp=`` for PNG without a word, so the packet goes into an iTXt chunk under the keyword that the XMP
specification (part 3, section 1.1.5) gives.
"""

import io
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

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


def xmp_packet(set_id: str) -> str:
    """Return the XMP packet of an image of the set ``set_id``."""
    return _PACKET.format(source_type=quoteattr(DIGITAL_SOURCE_TYPE), set_id=quoteattr(f"synthface:{set_id}"))


def encode_marked_png(image: NDArray[np.uint8], set_id: str) -> bytes:
    """Encode [height, width, 3] uint8 as a PNG that says it is synthetic and which set it belongs to."""
    info = PngInfo()
    info.add_itxt(XMP_KEYWORD, xmp_packet(set_id))
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG", compress_level=6, pnginfo=info)
    return stream.getvalue()


def read_mark(content: bytes) -> str | None:
    """Return the XMP packet of an image file if it says that the image is synthetic, else None."""
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        packet = image.info.get("xmp") or image.info.get(XMP_KEYWORD) or ""
    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else str(packet)
    return text if DIGITAL_SOURCE_TYPE in text else None
