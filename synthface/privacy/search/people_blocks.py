"""Blocks of people whose photos lie so that the best photo of each is found by whole-array maxima."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.gallery import Gallery
from synthface.privacy.search.arrays import Arrays


@dataclass(frozen=True)
class PeopleBlock:
    """Some people, the one with the most photos first.

    Their photos lie in layers: everybody's first photo, then the second photo of those who have one, and so on. So the
    best photo of each person comes from one maximum of two matrices a layer (``np.maximum.reduceat`` over photos by
    person takes half as long as the matrix product itself).

    Attributes:
        people: [p] indices in the gallery.
        vectors: photos in layers, on the device.
        pieces: (first row, end, layers) of each further product, of at most p rows; a layer is (first row, end), and
            goes with as many of the first people.
    """

    people: NDArray[np.int64]
    vectors: Any
    pieces: tuple[tuple[int, int, tuple[tuple[int, int], ...]], ...]

    def best_photos(self, queries: Any, out: Any, spare: Any, arrays: Arrays) -> None:
        """Write the best score of each person with each of [D, c] queries to [p, c], using as much spare memory."""
        n_people, n_queries = out.shape
        arrays.scores(self.vectors[:n_people], queries, out)
        for first, end, layers in self.pieces:
            scores = spare[: (end - first) * n_queries].reshape(end - first, n_queries)
            arrays.scores(self.vectors[first:end], queries, scores)
            for start, stop in layers:
                best = out[: stop - start]
                arrays.maximum(best, scores[start - first : stop - first], best)


def people_blocks(gallery: Gallery, size: int, arrays: Arrays) -> Iterator[PeopleBlock]:
    """Yield all people in blocks of at most ``size``; those with equally many photos come together."""
    order = np.argsort(-gallery.counts, kind="stable")
    for begin in range(0, len(order), size):
        people = order[begin : begin + size]
        counts = gallery.counts[people]
        widths = np.searchsorted(-counts, -np.arange(counts[0]), side="left")  # [layers] people with more photos
        rows = np.concatenate([gallery.starts[people[:width]] + layer for layer, width in enumerate(widths)])
        yield PeopleBlock(people, arrays.put(gallery.vectors[rows]), tuple(_pieces(widths, len(people))))


def _pieces(widths: NDArray[np.int64], size: int) -> Iterator[tuple[int, int, tuple[tuple[int, int], ...]]]:
    """Put the layers after the first together while they fit in ``size`` rows."""
    layers: list[tuple[int, int]] = []
    for end, width in zip(np.cumsum(widths)[1:].tolist(), widths[1:].tolist(), strict=True):
        if layers and end - layers[0][0] > size:
            yield layers[0][0], layers[-1][1], tuple(layers)
            layers = []
        layers.append((end - width, end))
    if layers:
        yield layers[0][0], layers[-1][1], tuple(layers)
