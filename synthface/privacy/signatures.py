"""What the search for copied photos (A1) keeps of an image: two hashes of 64 bits, and a small grey picture.

Made once for each FaceSet from its pixels, in blocks; a few kilobytes an image.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.core.errors import AuditError

SIDE = 32  # pixels of the small picture
_HASH_SIDE = 8
_ROWS = 1024  # images held in float at once
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601

Grey = NDArray[np.float32]


@dataclass(frozen=True)
class ImageSignatures:
    """Small grey pictures of a set's images, and their hashes.

    Attributes:
        images: [N] image names, those of the embeddings of the same set.
        pictures: [N, 32, 32] float32 grey, 0 to 255.
        sha256: [N] hash of each image file, or None where unknown.
    """

    images: NDArray[np.str_]
    pictures: Grey
    sha256: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", np.asarray(self.images, dtype=np.str_))
        pictures = np.asarray(self.pictures, dtype=np.float32)
        object.__setattr__(self, "pictures", pictures)
        if self.sha256 is not None:
            object.__setattr__(self, "sha256", np.asarray(self.sha256, dtype=np.str_))
        sizes = {len(self.images), len(pictures)} | (set() if self.sha256 is None else {len(self.sha256)})
        if pictures.shape[1:] != (SIDE, SIDE) or len(sizes) != 1:
            raise AuditError(
                f"signatures of shape {pictures.shape} with {len(self.images)} image names: give one picture of "
                f"{SIDE} x {SIDE} and one name an image"
            )
        if not np.isfinite(pictures).all():
            raise AuditError("signatures hold NaN or infinite pixels; compute them again")

    @classmethod
    def of_images(
        cls, pixels: NDArray[np.uint8], images: ArrayLike, sha256: ArrayLike | None = None
    ) -> "ImageSignatures":
        """Make the signatures of images.

        Args:
            pixels: [N, H, W, 3] uint8 RGB, 32 pixels a side or more; a memory map is read block by block.
            images: [N] image names.
            sha256: [N] hashes of the image files.
        """
        pictures = np.empty((len(pixels), SIDE, SIDE), np.float32)
        for begin in range(0, len(pixels), _ROWS):
            grey = np.asarray(pixels[begin : begin + _ROWS], dtype=np.float32) @ _LUMA
            pictures[begin : begin + _ROWS] = shrink(grey, SIDE, SIDE)
        hashes = None if sha256 is None else np.asarray(sha256, dtype=np.str_)
        return cls(np.asarray(images, dtype=np.str_), pictures, hashes)

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.generic]) -> "ImageSignatures":
        """Return the signatures of some rows (indices or a mask)."""
        sha256 = None if self.sha256 is None else self.sha256[rows]
        return ImageSignatures(self.images[rows], self.pictures[rows], sha256)

    def mirrored(self) -> "ImageSignatures":
        """Return the signatures of the images as a mirror shows them."""
        return ImageSignatures(self.images, self.pictures[:, :, ::-1], self.sha256)

    @cached_property
    def difference_hash(self) -> NDArray[np.uint64]:
        """[N] dHash: whether each of 8 x 8 cells is brighter than its right neighbour (Krawetz 2013)."""
        small = _in_blocks(self.pictures, _HASH_SIDE, _HASH_SIDE + 1)
        return _pack(small[:, :, :-1] > small[:, :, 1:])

    @cached_property
    def frequency_hash(self) -> NDArray[np.uint64]:
        """[N] pHash: signs of the 8 x 8 lowest cosine frequencies about their median, without the mean."""
        basis = _cosine_basis(SIDE)[1 : _HASH_SIDE + 1]
        spectrum = np.einsum("ki,nij,lj->nkl", basis, self.pictures, basis, optimize=True)
        flat = spectrum.reshape(len(spectrum), -1)
        return _pack(spectrum > np.median(flat, axis=1)[:, None, None])

    @cached_property
    def detail(self) -> Grey:
        """[N, 32, 32] what both hashes leave out: the picture less its 8 x 8 cell means, with norm 1 (or 0)."""
        cells = shrink(self.pictures, _HASH_SIDE, _HASH_SIDE)
        factor = SIDE // _HASH_SIDE
        fine = self.pictures - cells.repeat(factor, axis=1).repeat(factor, axis=2)
        length = np.sqrt(np.einsum("nij,nij->n", fine, fine))[:, None, None]
        scaled: Grey = (fine / np.where(length > SIDE, length, np.inf)).astype(np.float32)  # flatter than 1 grey level
        return scaled


def shrink(pictures: Grey, height: int, width: int) -> Grey:
    """Average [N, H, W] over the cells of another grid, which may cut pixels."""
    grids = zip(pictures.shape[1:], (height, width), strict=True)
    rows, columns = (_cell_weights(size, cells) for size, cells in grids)
    return np.asarray(rows @ pictures @ columns.T, dtype=np.float32)


def _in_blocks(pictures: Grey, height: int, width: int) -> Grey:
    blocks = [shrink(pictures[i : i + _ROWS], height, width) for i in range(0, len(pictures), _ROWS)]
    return np.concatenate(blocks) if blocks else np.empty((0, height, width), np.float32)


def _cell_weights(size: int, cells: int) -> Grey:
    """Return [cells, size] the share of each pixel in each cell's mean."""
    width = size / cells
    edges = np.arange(cells + 1) * width
    pixel = np.arange(size)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    weights: Grey = (np.maximum(covered, 0) / width).astype(np.float32)
    return weights


def _cosine_basis(size: int) -> Grey:
    """Return [size, size] the rows of the discrete cosine transform (type II), unscaled."""
    order, position = np.arange(size)[:, None], np.arange(size)[None]
    basis: Grey = np.cos(np.pi * order * (2 * position + 1) / (2 * size)).astype(np.float32)
    return basis


def _pack(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Pack [N, 8, 8] bits into [N] words."""
    octets = np.packbits(bits.reshape(len(bits), 64), axis=1)
    return np.ascontiguousarray(octets).view(np.uint64).ravel()
