"""The one record that all formats exchange, its limits, and what is checked of files that strangers made."""

import hashlib
import io
import json
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from PIL import Image, UnidentifiedImageError

from synthface.core.errors import DataError
from synthface.core.hashing import canonical_json
from synthface.data.images import MAX_MEGAPIXELS

MAX_IMAGE_BYTES = 64 * 2**20
MAX_TEXT_BYTES = 2**20  # a sample's metadata
_MAX_NAME_BYTES = 200  # of one part of a path; the common file systems take 255
_MAX_DEPTH = 16
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


def safe_name(name: object) -> str:
    """Return a path inside a set if it can be nothing else.

    Raises:
        DataError: no text, absolute, with parts like ``..``, control characters or back slashes, or too long.
    """
    if not isinstance(name, str):
        raise DataError("a name that is no text")
    parts = name.split("/")
    bad_part = any(part in ("", ".", "..") or len(part.encode("utf-8", "replace")) > _MAX_NAME_BYTES for part in parts)
    if bad_part or len(parts) > _MAX_DEPTH or not is_plain_text(name) or "\\" in name or ":" in parts[0]:
        raise DataError(f"the name {printable(name)} is no path inside a set")
    return name


def safe_identity(identity: object) -> str:
    """Return an identity if it is a short plain text.

    Raises:
        DataError: it is not.
    """
    if not isinstance(identity, str) or not identity or len(identity) > 4 * _MAX_NAME_BYTES:
        raise DataError("an identity that is no text of a usual length")
    if not is_plain_text(identity):
        raise DataError(f"the identity {printable(identity)} holds characters that cannot be printed")
    return identity


def safe_label(label: object) -> int | None:
    """Return a label if it is none or a whole number that 64 bits hold.

    Raises:
        DataError: it is not.
    """
    if label is None:
        return None
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < 2**62:
        raise DataError(f"the label {printable(label)} is no whole number from 0 on")
    return label


def is_plain_text(text: str) -> bool:
    """Say whether a text has no control character and no half of a surrogate pair."""
    return text.isprintable() or not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)


def printable(value: object) -> str:
    """Return a stranger's value as a short text that a terminal can show."""
    text = value if isinstance(value, str) else repr(value)
    shown = text[:80].encode("unicode_escape").decode("ascii")
    return f"{shown}..." if len(text) > 80 else shown


def read_json_object(text: bytes | str) -> dict[str, Any]:
    """Parse a JSON object that a stranger wrote.

    Raises:
        DataError: too long, no JSON, no object, nested too deeply, or with numbers that are none.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise DataError(f"metadata of more than {MAX_TEXT_BYTES // 2**20} MB")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        canonical_json(value).encode()  # halves of surrogate pairs parse, but cannot be written
    except (ValueError, RecursionError) as error:
        raise DataError(f"metadata that is no JSON ({error!s:.80})") from None
    if not isinstance(value, dict):
        raise DataError("metadata that is no JSON object")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


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
