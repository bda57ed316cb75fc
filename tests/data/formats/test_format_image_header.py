"""Headers read here are those that Pillow reads."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synthface.core.errors import DataError
from synthface.data.formats.image_header import ImageHeader, image_header, usual_header
from synthface.data.marks import mark_file

exif = Image.Exif()
exif[0x0110] = "a camera"
USUAL = [
    ("RGB", "JPEG", {}), ("RGB", "JPEG", {"progressive": True}), ("RGB", "JPEG", {"subsampling": 0, "quality": 100}),
    ("L", "JPEG", {}), ("CMYK", "JPEG", {}), ("RGB", "JPEG", {"exif": exif, "optimize": True, "comment": b"hello"}),
    ("RGB", "JPEG", {"restart_marker_blocks": 2}),
    ("RGB", "PNG", {}), ("RGBA", "PNG", {}), ("L", "PNG", {}), ("LA", "PNG", {}), ("P", "PNG", {}),
    ("RGB", "WEBP", {}), ("RGB", "WEBP", {"lossless": True}),
]  # fmt: skip
UNUSUAL = [
    ("I;16", "PNG", {}), ("1", "PNG", {}), ("RGBA", "WEBP", {}), ("RGB", "WEBP", {"exif": exif}),
    ("RGB", "WEBP", {"save_all": True, "append_images": [Image.new("RGB", (47, 33))]}),
]  # fmt: skip


def encoded(mode, kind, more):
    pixels = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    stream = io.BytesIO()
    image = Image.fromarray(pixels).convert("L" if mode == "I;16" else mode).convert(mode)
    if mode == "RGBA":
        image.putalpha(100)
    image.save(stream, kind, **more)
    return stream.getvalue()


@pytest.mark.parametrize(("mode", "kind", "more"), USUAL)
def test_usual_files_are_read_without_pillow(mode, kind, more):
    content = encoded(mode, kind, more)
    assert usual_header(content) == image_header(content) == ImageHeader(kind, 47, 33)
    if kind != "WEBP":  # marks make an extended file of it
        assert usual_header(mark_file(content, "x")) == ImageHeader(kind, 47, 33)


@pytest.mark.parametrize(("mode", "kind", "more"), UNUSUAL)
def test_others_are_left_to_pillow(mode, kind, more):
    content = encoded(mode, kind, more)
    assert usual_header(content) is None
    assert image_header(content) == ImageHeader(kind, 47, 33)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged Exif data
@pytest.mark.parametrize(("mode", "kind", "more"), USUAL)
@given(data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_of_damaged_files_nothing_else_is_said_than_pillow_says(mode, kind, more, data):
    content = bytearray(encoded(mode, kind, more))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, min(len(content), 700) - 1))] = data.draw(st.integers(0, 255))
    found = usual_header(bytes(content))
    if found is None:
        return
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as image:
            assert (found.format, found.width, found.height) == (image.format, *image.size)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return  # it looks further into the file than a header


@pytest.mark.parametrize(("mode", "kind", "more"), USUAL)
def test_cut_headers_are_refused(mode, kind, more):
    content = encoded(mode, kind, more)
    for length in range(0, 30):
        with pytest.raises(DataError):
            image_header(content[:length])


def test_sizes_are_limited_before_anything_is_decoded():
    content = bytearray(encoded("RGB", "JPEG", {}))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(DataError, match="60000x60000 pixels is more than 100 megapixels"):
        image_header(bytes(content))
