"""Progress bars: libraries give iterables, workflows put a bar around them."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(
    items: Iterable[T], *, description: str, total: int | None = None, initial: int = 0, unit: str = "image"
) -> Iterator[T]:
    """Yield the items with a bar on standard error; where that is no terminal, a line every half minute.

    Args:
        items: what to go through.
        description: a word or two on what is done.
        total: number of items, where ``len(items)`` does not say.
        initial: items that an earlier, interrupted run has done.
        unit: what an item is, in the singular.
    """
    import sys

    from tqdm import tqdm

    interval = 0.2 if sys.stderr.isatty() else 30.0
    yield from tqdm(
        items,
        desc=description,
        total=total,
        initial=initial,
        unit=unit,
        mininterval=interval,
        maxinterval=interval,
        leave=True,
    )


def decode_bar(numbers: range) -> Iterator[int]:
    """Yield the numbers of images that are decoded once and kept, with a bar."""
    yield from track(numbers, description="decode once")
