"""The bounded part of a FaceSet that is measured, and the figures of its images alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import ConfigError, DataError
from synthface.data import FaceSet
from synthface.data.images import resize_image
from synthface.metrics.class_sample import sample_classes

THUMBNAIL = 8  # pixels a side: pose, light, colour and background, but little of the face
_BATCH = 256


@dataclass(frozen=True)
class SampledSet:
    """Some images of a FaceSet, brought to one size.

    Attributes:
        faceset: where they are.
        rows: [N] images of equally many identities as in the other set, ascending: for figures about identities.
        pool: [M] images of all identities that have two: for figures about images and for distances.
        side: pixels a side.
    """

    faceset: FaceSet
    rows: NDArray[np.int64]
    pool: NDArray[np.int64]
    side: int

    @property
    def labels(self) -> NDArray[np.int64]:
        """[N] identity number of each of ``rows``."""
        return self.faceset.labels[self.rows]

    @property
    def pool_labels(self) -> NDArray[np.int64]:
        """[M] identity number of each of ``pool``."""
        return self.faceset.labels[self.pool]

    @property
    def via_size(self) -> int | None:
        """What ``embed_faceset`` needs to bring the images to their size; None if they have it."""
        return None if least_side(self.faceset) == largest_side(self.faceset) == self.side else self.side

    def describe(self) -> dict[str, Any]:
        """Return what was taken of what there was."""
        return {
            "kind": self.faceset.kind,
            "images": len(self.faceset),
            "identities": len(self.faceset.identities),
            "measured_images": len(self.rows),
            "measured_identities": len(np.unique(self.labels)),
            "pool_images": len(self.pool),
            "pool_identities": len(np.unique(self.pool_labels)),
            "manifest_sha256": self.faceset.manifest_sha256,
        }

    def batches(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the images of the pool in order, [n, side, side, 3] uint8."""
        for start in range(0, len(self.pool), _BATCH):
            yield self.faceset.read_images(self.pool[start : start + _BATCH], self.side, self.side)

    @property
    def n_batches(self) -> int:
        """How many batches there are."""
        return -(-len(self.pool) // _BATCH)


def thumbnails(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return 8x8 thumbnails [N, 192], full scale 1, of images [N, H, W, 3]: the style features of diversity."""
    small = [resize_image(image, THUMBNAIL, THUMBNAIL) for image in images]
    return np.stack(small).reshape(len(images), -1) / 255.0


def sample_sets(
    facesets: dict[str, tuple[FaceSet, str]], *, identities: int | None, images: int, via_size: int | None, seed: int
) -> dict[str, SampledSet]:
    """Take equally many identities of every set, and at most equally many images of each, at one resolution.

    Args:
        facesets: the set to measure first; each with the option that named it.
        identities: at most so many; bounded by the set that has fewest with two images or more.
        images: at most so many of each; bounded by the largest identity of the first set.
        via_size: pixels a side; None takes that of the smallest image.
        seed: of the draws.

    Raises:
        DataError: a set has fewer than two identities with two images.
        ConfigError: a size that some image does not reach.
    """
    n, most = identities or len(next(iter(facesets.values()))[0]), images
    for k, (faceset, flag) in enumerate(facesets.values()):
        counts = np.bincount(faceset.labels, minlength=1) if len(faceset) else np.zeros(1, np.int64)
        if np.count_nonzero(counts > 1) < 2:
            raise DataError(
                f"{flag} {faceset.root} has {np.count_nonzero(counts > 1)} identities with two images or more; at "
                "least two are needed to compare images of one person with images of others"
            )
        n = min(n, int(np.count_nonzero(counts > 1)))
        most = min(most, int(counts.max())) if k == 0 else most
    smallest = min(least_side(faceset) for faceset, _ in facesets.values())
    if via_size is not None and via_size > smallest:
        raise ConfigError(f"--via-size {via_size}: some images have {smallest} pixels a side, and none is made larger")
    return {
        role: SampledSet(
            faceset,
            rows=sample_classes(faceset.labels, classes=n, images=most, seed=seed),
            pool=sample_classes(faceset.labels, classes=None, images=most, seed=seed),
            side=via_size or smallest,
        )
        for role, (faceset, _) in facesets.items()
    }


def least_side(faceset: FaceSet) -> int:
    """Return the shorter side, in pixels, of the smallest image."""
    return min(min(record.width, record.height) for record in faceset.records)


def largest_side(faceset: FaceSet) -> int:
    """Return the longer side, in pixels, of the largest image."""
    return max(max(record.width, record.height) for record in faceset.records)
