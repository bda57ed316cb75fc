import io
import random
import struct
import subprocess
import zlib

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, features

from synthface.core.errors import DataError
from synthface.data.images import decode_image, encode_png, resize_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_png_keeps_every_pixel_and_gives_the_same_bytes():
    content = encode_png(PIXELS)
    np.testing.assert_array_equal(decode_image(content), PIXELS)
    assert content == encode_png(PIXELS.copy())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation):
    # The inverse of each EXIF orientation, written out with numpy alone.
    stored = {
        1: PIXELS,
        2: PIXELS[:, ::-1],
        3: PIXELS[::-1, ::-1],
        4: PIXELS[::-1],
        5: PIXELS.transpose(1, 0, 2),
        6: np.rot90(PIXELS, 1),
        7: np.rot90(PIXELS.transpose(1, 0, 2), 2),
        8: np.rot90(PIXELS, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(decode_image(content), PIXELS)


def test_every_colour_mode_becomes_rgb():
    grey = PIXELS[:, :, 0]
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(grey))), np.stack([grey] * 3, axis=2))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    np.testing.assert_array_equal(decode_image(encoded(deep))[:, :, 0], grey)
    clear = np.dstack([PIXELS, np.zeros((20, 30), np.uint8)])
    assert (decode_image(encoded(Image.fromarray(clear))) == 255).all()  # nothing is there: white paper
    cmyk = Image.new("CMYK", (20, 20), (0, 255, 255, 0))
    red = decode_image(encoded(cmyk, "JPEG", quality=95))[10, 10]
    assert red[0] > 200
    assert red[1:].max() < 60
    palette = Image.fromarray(PIXELS).quantize(16)
    np.testing.assert_array_equal(decode_image(encoded(palette)), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"these are words", "not an image"),
        (b"", "not an image"),
        (encoded(Image.fromarray(PIXELS).resize((200, 200)), "JPEG")[:-1500], "damaged"),
        (encode_png(PIXELS)[:300], "damaged"),
        (encoded(Image.new("RGB", (1, 1))), "1x1 pixels is smaller"),
        (encoded(Image.new("RGB", (15, 400))), "smaller than 16"),
        (png_header(30_000, 30_000), "megapixels"),
        (png_header(60_000, 60_000), "megapixels"),
    ],
)
def test_bad_files_are_refused_with_a_reason(content, reason):
    with pytest.raises(DataError, match=reason):
        decode_image(content)


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_the_kinds_of_photos_there_are_can_be_read(kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    more = {"save_all": True, "append_images": [Image.new("RGB", (30, 20))]} if kind == "MPO" else {}
    content = encoded(Image.new("RGB", (30, 20), (200, 100, 0)), kind, **more)
    np.testing.assert_allclose(decode_image(content), np.full((20, 30, 3), (200, 100, 0)), atol=8)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICNS", "PPM", "TGA", "JPEG2000"])
def test_no_other_reader_of_pillow_sees_the_bytes(kind, monkeypatch):
    started = []
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # as if Ghostscript had not been looked for yet
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **_: started.append(words))
    content = encoded(Image.fromarray(PIXELS).resize((32, 32)), kind)
    with pytest.raises(DataError, match="not an image that can be read"):
        decode_image(content)
    assert not started


def exif_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a portrait"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    return encoded(Image.fromarray(PIXELS), "JPEG", exif=exif)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on damaged EXIF
@pytest.mark.parametrize("kind", ["EXIF", "AVIF"])
def test_damage_in_exif_and_avif_is_a_reason_like_any_other(kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    whole = exif_jpeg() if kind == "EXIF" else encoded(Image.fromarray(PIXELS), "AVIF")
    start, end = (whole.find(b"Exif"), whole.find(b"Exif") + 60) if kind == "EXIF" else (0, 400)
    draw = random.Random(3)
    refused = 0
    for _ in range(3000):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 2)):
            content[draw.randrange(start, min(end, len(content)))] = draw.randrange(256)
        try:
            decode_image(bytes(content))
        except DataError:
            refused += 1
    assert refused


def test_no_cut_of_a_jpeg_does_more_than_be_refused():
    content = encoded(Image.fromarray(PIXELS), "JPEG", quality=90)
    for cut in range(len(content)):
        try:
            assert decode_image(content[:cut]).shape == PIXELS.shape
        except DataError:
            continue


def test_resize_averages_when_it_shrinks():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize_image(stripes, 16, 16)[2:-2, 2:-2].astype(float) - 127.5).max() < 3
    assert resize_image(PIXELS, 20, 30) is PIXELS
    assert resize_image(PIXELS, 7, 9).shape == (7, 9, 3)
