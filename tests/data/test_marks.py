"""Marks: other software reads them, no pixel changes, and taking them out gives the very file back."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synthface.core.errors import DataError
from synthface.data.marks import DIGITAL_SOURCE_TYPE, find_packet, mark_file, read_mark, unmark_file

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"
ENCODINGS = [
    "PNG",
    "JPEG",
    "WEBP",
    "WEBP lossless",
    "WEBP alpha",
    "WEBP with Exif",
    "JPEG with Exif",
    "JPEG progressive",
]


def encoded(kind: str, height: int = 33, width: int = 47) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 4 if "alpha" in kind else 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0110] = "a camera"
    more = {"exif": exif} if "Exif" in kind else {}
    stream = io.BytesIO()
    name = kind.split()[0]
    Image.fromarray(pixels).save(
        stream,
        name,
        **more,
        **({"lossless": True} if "loss" in kind else {}),
        **({"progressive": True} if "progr" in kind else {}),
    )
    return stream.getvalue()


@pytest.mark.parametrize("kind", ENCODINGS)
def test_pillow_reads_the_mark_and_the_same_pixels(kind: str) -> None:
    plain = encoded(kind)
    marked = mark_file(plain, "0123abcd")
    with Image.open(io.BytesIO(marked)) as image, Image.open(io.BytesIO(plain)) as before:
        image.load()
        assert image.mode == before.mode
        assert np.array_equal(np.asarray(image), np.asarray(before))
        assert image.getexif().get(0x0110) == before.getexif().get(0x0110)
        packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    text = packet if isinstance(packet, str) else packet.decode()
    assert text == read_mark(marked)
    tree = ElementTree.fromstring(text[text.index("<x:xmpmeta") : text.index("<?xpacket end")])
    description = tree.find(f".//{RDF}Description")
    assert description is not None
    assert description.get(f"{IPTC}DigitalSourceType") == DIGITAL_SOURCE_TYPE
    assert description.get(f"{DUBLIN_CORE}source") == "synthface:0123abcd"


@pytest.mark.parametrize("kind", ENCODINGS)
def test_without_its_mark_a_file_is_what_it_was(kind: str) -> None:
    plain = encoded(kind)
    assert unmark_file(mark_file(plain, "x")) == plain
    assert unmark_file(plain) == plain
    assert read_mark(plain) is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_second_mark_is_refused(kind: str) -> None:
    with pytest.raises(DataError, match="XMP data already"):
        mark_file(mark_file(encoded(kind), "x"), "y")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_other_xmp_data_is_no_mark(kind: str) -> None:
    other = mark_file(encoded(kind), "x").replace(b"trainedAlgorithmicMedia", b"digitalCapture........."[:23])
    assert read_mark(other) is None
    assert find_packet(other) is not None


@given(
    content=st.binary(max_size=200),
    start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF\x10\x00\x00\x00WEBP"]),
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_an_answer_or_a_named_error(content: bytes, start: bytes) -> None:
    for step in (read_mark, unmark_file, lambda data: mark_file(data, "x")):
        try:
            step(start + content)
        except DataError:
            continue


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_cut_file_is_a_named_error_or_lacks_its_mark(kind: str) -> None:
    marked = mark_file(encoded(kind), "x")
    for end in range(len(marked)):
        try:
            bare = unmark_file(marked[:end])
        except DataError:
            continue
        assert read_mark(bare) is None


def test_a_file_that_could_not_be_had_back_is_not_marked() -> None:
    plain = encoded("WEBP")
    header = b"VP8X" + (10).to_bytes(4, "little") + bytes(4) + (46).to_bytes(3, "little") + (32).to_bytes(3, "little")
    body = b"WEBP" + header + plain[12:]
    with pytest.raises(DataError, match="encode it anew"):
        mark_file(b"RIFF" + len(body).to_bytes(4, "little") + body, "x")
