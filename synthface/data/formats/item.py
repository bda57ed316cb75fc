"""The one record that all formats exchange, numbers for its identities, and a sum over a whole set."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from synthface.core.errors import DataError
from synthface.data.formats.image_header import ImageHeader, image_header
from synthface.data.untrusted import printable


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

    def require_image(self) -> None:
        """Refuse what ``header`` cannot read: no image, or a bomb.

        Raises:
            DataError: as ``header``.
        """
        _ = self.header

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the image file, taken once however often it is asked for."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def fingerprint(self) -> int:
        """SHA-256 of the image file's SHA-256 and the identity, as a number."""
        return int.from_bytes(hashlib.sha256(bytes.fromhex(self.sha256) + self.identity.encode()).digest(), "big")


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
        self._sum = (self._sum + item.fingerprint) % 2**256
        self.n_images += 1

    @property
    def sha256(self) -> str:
        """The sum of all fingerprints, modulo 2**256."""
        return f"{self._sum:064x}"

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, taking each in."""
        for item in items:
            self.add(item)
            yield item
