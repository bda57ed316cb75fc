"""Filters, changes of resolution and mirrored borders as matrices that act along one axis.

The wavelets are Daubechies' orthogonal low-pass filters: what they halve after they have doubled is unchanged, and so
an image that is not moved comes out of a warp as it went in.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

# Symlet with six vanishing moments (Daubechies, Ten Lectures on Wavelets, section 8.1), of sum sqrt(2).
# fmt: off
SYM6 = np.array([
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
    0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
    0.0017677118642428036, -0.007800708325034148,
])
# fmt: on
_SYM6_CENTRE = 5  # the tap nearest to its centre of gravity
OVERHANG = 3  # pixels that SYM6 reaches beyond a pixel, at double resolution, rounded up

_ROOT3 = math.sqrt(3)
SYM2 = np.array([1 - _ROOT3, 3 - _ROOT3, 3 + _ROOT3, 1 + _ROOT3]) / (4 * math.sqrt(2))


def mirrored_doubling(size: int, before: int, after: int) -> Matrix:
    """Mirror the borders, then double the resolution through SYM6.

    Returns:
        [2 (before + size + after), size]. Sample 2j lies on pixel j of the mirrored image.
    """
    pixels = _mirrored_index(size, before, after)
    samples = 2 * np.arange(len(pixels))[:, None] - _SYM6_CENTRE + np.arange(len(SYM6))
    return _spread(samples, pixels, SYM6 * math.sqrt(2), (2 * len(pixels), size))


@cache
def halving(size: int) -> Matrix:
    """Halve the resolution through SYM6: [size, 2 (size + 2 OVERHANG)], the inverse of doubling."""
    return mirrored_doubling(size + 2 * OVERHANG, 0, 0)[:, OVERHANG:-OVERHANG].T / 2


def band_taps() -> Matrix:
    """Return four filters that part the frequencies at 1/8, 1/4 and 1/2 of the highest one and sum to an impulse.

    They come from the half-band pair H(z)H(1/z)/2 and H(-z)H(-1/z)/2 of SYM2, applied to every pixel, every second,
    and every fourth. [4, 43], lowest frequencies first.
    """
    low = np.convolve(SYM2, SYM2[::-1]) / 2
    high = low * (-1.0) ** (np.arange(len(low)) - len(low) // 2)
    bands, below = [], np.ones(1)
    for step in (1, 2, 4):
        bands.append(np.convolve(below, _stuffed(high, step)))
        below = np.convolve(below, _stuffed(low, step))
    return np.stack([_centred(band, len(below)) for band in (below, *bands[::-1])])


@cache
def band_filters(size: int) -> Matrix:
    """Return the filters of ``band_taps`` behind mirrored borders: [4, size, size]."""
    taps = band_taps()
    reach = taps.shape[1] // 2
    pixels = _mirrored_index(size, reach, reach)
    results = np.arange(len(pixels))[:, None] - np.arange(taps.shape[1])
    return np.stack([_spread(results, pixels, band, (size, size)) for band in taps])


def _mirrored_index(size: int, before: int, after: int) -> NDArray[np.int64]:
    """Return which pixel stands at each place when an axis is mirrored at the centres of its outermost pixels."""
    period = max(2 * size - 2, 1)
    index = np.abs(np.arange(-before, size + after)) % period
    return np.minimum(index, period - index) if size > 1 else index * 0


def _spread(rows: NDArray[np.int64], columns: NDArray[np.int64], taps: Matrix, shape: tuple[int, int]) -> Matrix:
    """Sum taps [T] at the rows [P, T] of the columns [P]; rows outside the matrix are left out."""
    result = np.zeros(shape)
    inside = (rows >= 0) & (rows < shape[0])
    columns, values = np.broadcast_to(columns[:, None], rows.shape), np.broadcast_to(taps, rows.shape)
    np.add.at(result, (rows[inside], columns[inside]), values[inside])
    return result


def _stuffed(taps: Matrix, step: int) -> Matrix:
    result = np.zeros((len(taps) - 1) * step + 1)
    result[::step] = taps
    return result


def _centred(taps: Matrix, length: int) -> Matrix:
    return np.pad(taps, (length - len(taps)) // 2)
