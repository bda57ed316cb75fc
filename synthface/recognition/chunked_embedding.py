"""Embedding a FaceSet in chunks, each a file of its own: killed at any moment, it goes on from there."""

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface.core.atomic import write_atomic
from synthface.core.errors import DataError
from synthface.data.faceset import FaceSet
from synthface.data.images import resize_image
from synthface.recognition.embedding import MICRO_BATCH, embed_batches
from synthface.recognition.recognizer import Recognizer, unit_and_norms

CHUNK_IMAGES = 16 * MICRO_BATCH


class ChunkedEmbedding:
    """The embedding of one FaceSet by one recogniser, shared by any number of processes.

    Chunk k holds images k * 256 .. k * 256 + 255 in manifest order, whoever computes it, so that neither the number
    of processes nor an interruption shows in the result.

    Args:
        faceset: what to embed.
        recognizer: with what.
        folder: working folder for the chunks; an earlier run's are taken over.
        flip: add the embedding of each image's mirror before normalising.
        via_size: first downsize each image to this many pixels a side.
        half: compute the network in bfloat16, where autocast does.

    Raises:
        DataError: an image is not square, so it cannot be an aligned face.
    """

    def __init__(
        self,
        faceset: FaceSet,
        recognizer: Recognizer,
        folder: Path,
        *,
        flip: bool = False,
        via_size: int | None = None,
        half: bool = False,
    ) -> None:
        for record in faceset.records:
            if record.width != record.height:
                raise DataError(
                    f"{faceset.root / record.path} is {record.width}x{record.height}; recognisers take square aligned "
                    "faces: run 'synthface prepare' first"
                )
        self._faceset = faceset
        self._recognizer = recognizer
        self._folder = folder
        self._flip = flip
        self._via_size = via_size
        self._half = half
        self._starts = range(0, len(faceset), CHUNK_IMAGES)
        folder.mkdir(parents=True, exist_ok=True)

    def missing(self, *, rank: int = 0, world_size: int = 1) -> list[int]:
        """Return the first images of the chunks that this process still has to compute."""
        return [start for start in self._starts[rank::world_size] if not self._file(start).exists()]

    def compute(self, starts: list[int]) -> Iterator[int]:
        """Compute chunks, yielding the index of each image when it is done."""
        ranges = [micro for start in starts for micro in self._micro_batches(start)]
        reads = (partial(self._read, indices) for indices in ranges)
        parts: list[NDArray[np.float32]] = []
        embedded = embed_batches(self._recognizer, reads, flip=self._flip, half=self._half)
        for indices, raw in zip(ranges, embedded, strict=True):
            parts.append(raw)
            if indices.stop == len(self._faceset) or indices.stop % CHUNK_IMAGES == 0:
                self._save(indices.start - indices.start % CHUNK_IMAGES, np.concatenate(parts))
                parts = []
            yield from indices

    def _micro_batches(self, start: int) -> list[range]:
        stop = min(start + CHUNK_IMAGES, len(self._faceset))
        return [range(first, min(first + MICRO_BATCH, stop)) for first in range(start, stop, MICRO_BATCH)]

    def _save(self, start: int, raw: NDArray[np.float32]) -> None:
        unit, norms = unit_and_norms(raw)
        stream = io.BytesIO()
        np.savez(stream, unit=unit, norms=norms)
        write_atomic(self._file(start), stream.getvalue())

    def collect(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return unit embeddings [N, D] and norms [N] from all chunks, in manifest order."""
        units = [np.zeros((0, self._recognizer.embedding_dim), np.float32)]
        norms = [np.zeros(0, np.float32)]
        for start in self._starts:
            with np.load(self._file(start), allow_pickle=False) as chunk:
                units.append(chunk["unit"])
                norms.append(chunk["norms"])
        return np.concatenate(units), np.concatenate(norms)

    def _file(self, start: int) -> Path:
        return self._folder / f"chunk-{start:09d}.npz"

    def _read(self, indices: range) -> NDArray[np.uint8]:
        side = self._recognizer.side
        if self._via_size is None:
            return self._faceset.read_images(indices, side, side)
        small = self._faceset.read_images(indices, self._via_size, self._via_size)
        return np.stack([resize_image(image, side, side) for image in small])
