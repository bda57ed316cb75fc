"""Progress bars: libraries give iterables, workflows put a bar around them."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from synthface.workflows.compute import is_first_process

T = TypeVar("T")


def track(
    items: Iterable[T],
    *,
    description: str,
    total: int | None = None,
    initial: int = 0,
    unit: str = "image",
    figures: Callable[[T], Mapping[str, float]] | None = None,
) -> Iterator[T]:
    """Yield the items with a bar on standard error; where that is no terminal, a line every half minute.

    Of several processes the first draws its own, not each one over the others'.

    Args:
        items: what to go through.
        description: a word or two on what is done.
        total: number of items, where ``len(items)`` does not say.
        initial: items that an earlier, interrupted run has done.
        unit: what an item is, in the singular.
        figures: from an item to what the bar says of it.
    """
    from tqdm import tqdm

    interval = 0.2 if sys.stderr.isatty() else 30.0
    bar = tqdm(
        items,
        desc=description,
        total=total,
        initial=initial,
        unit=unit,
        mininterval=interval,
        maxinterval=interval,
        leave=True,
        disable=not is_first_process(),
    )
    for item in bar:
        if figures is not None:
            bar.set_postfix({name: f"{value:.3g}" for name, value in figures(item).items()}, refresh=False)
        yield item


def decode_bar(numbers: range) -> Iterator[int]:
    """Yield the numbers of images that are decoded once and kept, with a bar."""
    yield from track(numbers, description="decode once")
