"""Encoding images anew, on request; the mark that an image is synthetic goes with it."""

import io
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Literal

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from synthface.core.errors import DataError
from synthface.data.formats.item import Item
from synthface.data.images import decode_image
from synthface.data.marks import XMP_KEYWORD
from synthface.data.untrusted import printable

Encoding = Literal["jpeg", "png", "webp"]


def reencode(item: Item, encoding: Encoding, *, quality: int) -> Item:
    """Return the item with its pixels encoded anew, upright RGB.

    Args:
        item: what to encode.
        encoding: ``png`` keeps every pixel; ``jpeg`` and ``webp`` lose some detail.
        quality: 1 to 100, of the encodings that lose.

    Raises:
        DataError: the image cannot be decoded.
    """
    try:
        pixels = decode_image(item.content)
    except DataError as error:
        raise DataError(f"{printable(item.name)}: {error}") from None
    with Image.open(io.BytesIO(item.content)) as image:
        image.load()
        found = image.info.get("xmp") or image.info.get(XMP_KEYWORD)
    packet = found.encode() if isinstance(found, str) else found
    stream = io.BytesIO()
    if encoding == "png":
        info = PngInfo()
        if packet:
            info.add_itxt(XMP_KEYWORD, packet.decode("utf-8", "replace"))
        Image.fromarray(pixels).save(stream, "PNG", pnginfo=info)
    else:
        more = {"xmp": packet} if packet else {}
        Image.fromarray(pixels).save(stream, encoding.upper(), quality=quality, **more)
    suffix = ".jpg" if encoding == "jpeg" else f".{encoding}"
    return replace(item, content=stream.getvalue(), name=str(PurePosixPath(item.name).with_suffix(suffix)))
