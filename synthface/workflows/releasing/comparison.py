"""How images made again compare with those of the ledger: by their bytes, and where these differ by their pixels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthface.core.errors import DataError
from synthface.data.images import decode_image


@dataclass(frozen=True)
class Difference:
    """An image whose bytes differ from the ledger's.

    Attributes:
        path: of the image.
        largest: difference of a colour value (0 to 255); None where the pixels could not be compared.
        mean: difference of the colour values.
        n_pixels: how many pixels differ in any colour.
        share: of the pixels that differ.
        why_unknown: why the pixels could not be compared.
    """

    path: str
    largest: int | None = None
    mean: float | None = None
    n_pixels: int | None = None
    share: float | None = None
    why_unknown: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what is known."""
        return {key: value for key, value in vars(self).items() if value is not None}


def compare_images(path: str, again: bytes, original: bytes | None) -> Difference:
    """Compare the pixels of two image files.

    Args:
        path: of the image.
        again: the file that was made again.
        original: the file of the set, None if it is not there.
    """
    if original is None:
        return Difference(path, why_unknown="the image of the set is not there")
    try:
        first, second = decode_image(original).astype(np.int16), decode_image(again).astype(np.int16)
    except DataError as error:
        return Difference(path, why_unknown=str(error))
    if first.shape != second.shape:
        sizes = " and ".join(f"{image.shape[1]}x{image.shape[0]}" for image in (first, second))
        return Difference(path, why_unknown=f"other sizes, {sizes} pixels")
    gap = np.abs(first - second)
    differs = gap.any(axis=2)
    return Difference(path, int(gap.max()), float(gap.mean()), int(differs.sum()), float(differs.mean()))


def summary(n_images: int, differences: list[Difference]) -> dict[str, Any]:
    """Return counts, and the pixel differences over all images whose bytes differ.

    Args:
        n_images: made again in total.
        differences: those whose bytes differ.
    """
    known = [item for item in differences if item.largest is not None]
    facts: dict[str, Any] = {
        "n_images": n_images,
        "n_identical": n_images - len(differences),
        "n_differing": len(differences),
        "n_same_pixels_in_other_bytes": sum(item.largest == 0 for item in known),
        "n_not_compared": len(differences) - len(known),
    }
    if known:
        facts |= {
            "largest_difference": max(item.largest or 0 for item in known),
            "mean_difference": float(np.mean([item.mean for item in known])),
            "n_pixels": sum(item.n_pixels or 0 for item in known),
            "share_of_pixels": float(np.mean([item.share for item in known])),
        }
    return facts


def environment_differences(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Yield what is known to be otherwise than when the set was made.

    Args:
        then: versions and processor of the set's record.
        now: those of this run.
    """
    names = ("torch", "numpy", "pillow", "machine", "processor", "device", "code")
    if not then.keys() & set(names):
        yield "what drew the set is not recorded; here it is " + ", ".join(f"{name} {now.get(name)}" for name in names)
        return
    for name in names:
        before, here = then.get(name), now.get(name)
        if before is None:
            yield f"{name} of the set is not recorded; here it is {here}"
        elif before != here:
            yield f"{name} was {before}, here it is {here}"
