"""Decoding that never trusts the file, resizing, and PNG encoding."""

import importlib.util
import io
import struct
import warnings
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from synthface.core.errors import DataError

MAX_MEGAPIXELS = 100.0
MIN_SIDE_PIXELS = 16
DAMAGED_IMAGE = (
    OSError, SyntaxError, ValueError, EOFError, ArithmeticError, MemoryError, LookupError, TypeError, AttributeError,
    RuntimeError, AssertionError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow raises on damaged files: EXIF and AVIF go beyond the OSError and SyntaxError it documents."""

# Named, because Pillow tries all it has, and its reader of EPS starts Ghostscript. MPO comes with JPEG.
_DECODERS = ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"]
if importlib.util.find_spec("PIL.AvifImagePlugin"):  # since Pillow 11.3
    _DECODERS.append("AVIF")


def decode_image(content: bytes, *, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """Decode a JPEG, MPO, PNG, WebP, TIFF, BMP, GIF or AVIF file to upright RGB; no other decoder sees the bytes.

    EXIF orientation is applied; greyscale, palette, CMYK and alpha images become RGB. The size in the
    header is checked before any pixel is decoded, so a decompression bomb costs nothing.

    Returns:
        [height, width, 3] uint8.

    Raises:
        DataError: not an image, truncated, too large or too small; the message is the reason alone.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_DECODERS) as image:
                _check_size(image.width, image.height, max_megapixels)
                upright = ImageOps.exif_transpose(image)
                return np.asarray(_to_rgb(upright), dtype=np.uint8)
    except UnidentifiedImageError:
        raise DataError("not an image that can be read") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"more than {max_megapixels:g} megapixels") from None
    except DAMAGED_IMAGE as error:
        raise DataError(f"damaged image ({error!s:.80})") from None


def _check_size(width: int, height: int, max_megapixels: float) -> None:
    if width * height > max_megapixels * 1e6:
        raise DataError(f"{width}x{height} pixels is more than {max_megapixels:g} megapixels")
    if min(width, height) < MIN_SIDE_PIXELS:
        raise DataError(f"{width}x{height} pixels is smaller than {MIN_SIDE_PIXELS} pixels a side")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I;16":  # 16-bit greyscale would be clipped, not scaled, by convert()
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba).convert("RGB")
    return image.convert("RGB")


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encode [height, width, 3] uint8 RGB as PNG; the same pixels give the same bytes."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG", compress_level=6)
    return stream.getvalue()


def resize_image(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize [h, w, 3] uint8 with an antialiased Lanczos filter; a copy is avoided where the size is right."""
    if image.shape[:2] == (height, width):
        return image
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(resized, dtype=np.uint8)
