"""``.bin`` verification sets: a pickle of ``(image files [2N], same [N])``, read without unpickling.

InsightFace's ``lfw2pack.py`` defined the format; files in the wild were pickled by Python 2 and 3 under every protocol,
with images as byte strings, byte arrays or numpy arrays of bytes, and truth values as bool, int or numpy bool.
Images 2k and 2k + 1 are pair k. The pairs are cut into equal folds in file order.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from synthface.core.errors import DataError
from synthface.core.hashing import sha256_bytes
from synthface.core.safe_pickle import Span
from synthface.data.formats.image_header import MAX_IMAGE_BYTES, guess_suffix
from synthface.data.formats.item import Item
from synthface.data.formats.plain_pickle import read_plain_pickle

_MAX_PAIRS = 2_000_000
# The words that pickle and unpickle, here written by hand so that the same set gives the same bytes for ever.
_START, _APPEND_BOOL, _END = b"\x80\x03](", {True: b"\x88", False: b"\x89"}, b"e\x86."
_BYTES_WORD = b"B"
_MIDDLE = b"e]("


@dataclass(frozen=True)
class VerificationBin:
    """A parsed file: where its images are, and which pairs show one person."""

    path: Path
    same: tuple[bool, ...]
    _images: tuple[Span | bytes, ...]

    @classmethod
    def open(cls, path: Path) -> "VerificationBin":
        """Read the file's structure; the images stay in it.

        Raises:
            DataError: not a pickle of this shape; nothing in it is executed in any case.
        """
        try:
            with path.open("rb") as stream:
                value = read_plain_pickle(stream)
                if not isinstance(value, tuple | list) or len(value) != 2:
                    raise DataError("the pickle is not a pair of lists (images, same)")
                images, same = value[0], _truths(value[1], stream)
                return cls(path, same, _places(images, same))
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror})") from None
        except DataError as error:
            raise DataError(f"{path}: {error}") from None

    def read_images(self) -> Iterator[bytes]:
        """Yield the 2N image files in order."""
        with self.path.open("rb") as stream:
            for place in self._images:
                yield place.read(stream) if isinstance(place, Span) else place

    def folds(self, n_folds: int = 10) -> list[int]:
        """Return each pair's fold: contiguous, sizes differing by at most one, the larger first."""
        small, larger = divmod(len(self.same), n_folds)
        sizes = [small + 1] * larger + [small] * (n_folds - larger)
        return [fold for fold, size in enumerate(sizes) for _ in range(size)]

    def identities(self) -> list[str]:
        """Return a name for each of the 2N images.

        The file names nobody. Images of a mated pair show one person, and so do images with equal bytes; what
        follows from these two facts, and no more, is what the names say.
        """
        parent = list(range(len(self._images)))

        def root(k: int) -> int:
            while parent[k] != k:
                parent[k] = parent[parent[k]]
                k = parent[k]
            return k

        first_with: dict[str, int] = {}
        for k, content in enumerate(self.read_images()):
            parent[root(k)] = root(first_with.setdefault(sha256_bytes(content), k))
        for pair, same in enumerate(self.same):
            if same:
                parent[root(2 * pair + 1)] = root(2 * pair)
        number: dict[int, int] = {}
        return [f"person{number.setdefault(root(k), len(number)):06d}" for k in range(len(parent))]

    def items(self) -> Iterator[Item]:
        """Yield the images, named by pair and side."""
        for k, (content, identity) in enumerate(zip(self.read_images(), self.identities(), strict=True)):
            yield Item(content, identity, image_name(k, content))


def image_name(k: int, content: bytes) -> str:
    """Return the name of image ``k`` of a verification set."""
    return f"images/{k // 2:07d}{'ab'[k % 2]}{guess_suffix(content)}"


def _truths(value: Any, stream: IO[bytes]) -> tuple[bool, ...]:
    if isinstance(value, Span | bytes):  # a numpy array of truth values
        value = list(value.read(stream) if isinstance(value, Span) else value)
    if not isinstance(value, list | tuple) or not 0 < len(value) <= _MAX_PAIRS:
        raise DataError("its second list does not say which pairs are the same person")
    return tuple(_truth(item, stream) for item in value)


def _truth(value: Any, stream: IO[bytes]) -> bool:
    if isinstance(value, Span) and value.length == 1:  # a numpy bool
        value = value.read(stream)
    if isinstance(value, bytes) and len(value) == 1:
        value = value[0]
    if type(value) not in (bool, int) or value not in (0, 1):
        raise DataError("its second list holds something else than True and False")
    return bool(value)


def _places(value: Any, same: tuple[bool, ...]) -> tuple[Span | bytes, ...]:
    if not isinstance(value, list | tuple) or len(value) != 2 * len(same):
        n = len(value) if isinstance(value, list | tuple) else "no list of"
        raise DataError(f"{n} images for {len(same)} pairs; there should be two a pair")
    for k, place in enumerate(value):
        if not isinstance(place, Span | bytes):
            raise DataError(f"image {k} is no image file but a value of another kind")
        if (place.length if isinstance(place, Span) else len(place)) > MAX_IMAGE_BYTES:
            raise DataError(f"image {k} has more than {MAX_IMAGE_BYTES // 2**20} MB")
    return tuple(value)


def write_verification_bin(stream: IO[bytes], pairs: Iterable[tuple[bytes, bytes, bool]]) -> int:
    """Write pairs of image files as InsightFace's evaluation reads them; return how many there were.

    The pickle (protocol 3) is written instruction by instruction: only the truth values wait in memory.
    """
    same = []
    stream.write(_START)
    for first, second, is_same in pairs:
        for content in (first, second):
            stream.write(_BYTES_WORD + len(content).to_bytes(4, "little") + content)
        same.append(_APPEND_BOOL[bool(is_same)])
    if not same:
        raise DataError("there is no pair to write")
    stream.write(_MIDDLE + b"".join(same) + _END)
    return len(same)
