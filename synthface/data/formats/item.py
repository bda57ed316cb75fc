"""The one record that all formats exchange, its limits, and what is checked of files that strangers made."""

import hashlib
import io
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from PIL import Image, UnidentifiedImageError

from synthface.core.errors import DataError
from synthface.data.images import MAX_MEGAPIXELS
from synthface.data.untrusted import (
    MAX_TEXT_BYTES,
    is_plain_text,
    printable,
    read_json_object,
    safe_identity,
    safe_label,
    safe_name,
)

__all__ = [
    "EXTENSIONS",
    "IMAGE_SUFFIXES",
    "MAX_IMAGE_BYTES",
    "MAX_TEXT_BYTES",
    "ContentSum",
    "ImageHeader",
    "Item",
    "LabelTable",
    "guess_suffix",
    "image_header",
    "is_plain_text",
    "printable",
    "read_json_object",
    "safe_identity",
    "safe_label",
    "safe_name",
]

MAX_IMAGE_BYTES = 64 * 2**20
EXTENSIONS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class ImageHeader:
    """What the first bytes of an image file say: ``JPEG``, ``PNG`` or ``WEBP``, and its size in pixels."""

    format: str
    width: int
    height: int


@dataclass(frozen=True)
class Item:
    """One image of a set in any format.

    Attributes:
        content: the image file, byte for byte as it was found.
        identity: who it shows.
        name: path inside the set, with forward slashes.
        label: number of the identity, where the format gives one.
        fields: everything else that is known of it, as JSON values.
    """

    content: bytes
    identity: str
    name: str
    label: int | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def header(self) -> ImageHeader:
        """Kind and size of the image, read without decoding a pixel.

        Raises:
            DataError: no JPEG, PNG or WebP file, or over the limits of bytes or pixels.
        """
        try:
            return image_header(self.content)
        except DataError as error:
            raise DataError(f"{printable(self.name)}: {error}") from None


def image_header(content: bytes) -> ImageHeader:
    """Return kind and size of an image file; only three decoders are offered the bytes, and no pixel is decoded.

    Raises:
        DataError: no JPEG, PNG or WebP file, or over the limits of bytes or pixels.
    """
    if len(content) > MAX_IMAGE_BYTES:
        raise DataError(f"an image of more than {MAX_IMAGE_BYTES // 2**20} MB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its warnings are about sizes, which are checked below
            with Image.open(io.BytesIO(content), formats=tuple(EXTENSIONS)) as image:
                header = ImageHeader(str(image.format), image.width, image.height)
    except UnidentifiedImageError:
        raise DataError("not a JPEG, PNG or WebP image") from None
    except Image.DecompressionBombError:
        raise DataError(f"an image of more than {MAX_MEGAPIXELS:g} megapixels") from None
    except (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError, MemoryError, TypeError) as error:
        raise DataError(f"a damaged image ({error!s:.80})") from None
    if header.width * header.height > MAX_MEGAPIXELS * 1e6:
        raise DataError(f"{header.width}x{header.height} pixels is more than {MAX_MEGAPIXELS:g} megapixels")
    if header.format not in EXTENSIONS:
        raise DataError("not a JPEG, PNG or WebP image")
    return header


def guess_suffix(content: bytes) -> str:
    """Return the file name ending that the first bytes call for; JPEG's where they are unknown."""
    if content.startswith(b"\x89PNG"):
        return ".png"
    return ".webp" if content.startswith(b"RIFF") and content[8:12] == b"WEBP" else ".jpg"


class LabelTable:
    """Numbers identities: by the labels they bring or, if they bring none, in order of appearance."""

    def __init__(self) -> None:
        self._label_of: dict[str, int] = {}
        self._identity_of: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._label_of)

    @property
    def n_classes(self) -> int:
        """The number of outputs a classifier over these labels needs."""
        return max(self._identity_of, default=-1) + 1

    def label(self, item: Item) -> int:
        """Return the item's label.

        Raises:
            DataError: one identity with two labels, or one label for two identities.
        """
        known = self._label_of.get(item.identity)
        label = item.label if item.label is not None else len(self._label_of) if known is None else known
        if known is None and label not in self._identity_of:
            self._label_of[item.identity], self._identity_of[label] = label, item.identity
        elif known != label:
            raise DataError(
                f"{printable(item.name)}: identity {printable(item.identity)} with label {label}, but earlier images "
                f"give {'that label to ' + printable(self._identity_of[label]) if known is None else known}"
            )
        return label


class ContentSum:
    """Count, identities and a hash of a set that depends on its images and who they show, but not on their order."""

    def __init__(self) -> None:
        self.n_images = 0
        self._sum = 0

    def add(self, item: Item) -> None:
        """Take one image in."""
        digest = hashlib.sha256(hashlib.sha256(item.content).digest() + item.identity.encode()).digest()
        self._sum = (self._sum + int.from_bytes(digest, "big")) % 2**256
        self.n_images += 1

    @property
    def sha256(self) -> str:
        """The sum of the SHA-256 of every image with its identity, modulo 2**256."""
        return f"{self._sum:064x}"

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, taking each in."""
        for item in items:
            self.add(item)
            yield item
