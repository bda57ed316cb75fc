"""Faces in the images as saved: how many are found, and what another system makes of them once it aligned them anew."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from synthface.core.errors import WeightsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = NDArray[np.uint8]
    Flags = NDArray[np.bool_]

logger = logging.getLogger(__name__)
_MOST_SEARCHED = 1024  # images behind a share that is asked for by itself
_BORDER, _GREY = 28, 127


class FaceFinder:
    """The detector and the alignment of ``synthface prepare``; where its weights are not installed, it knows nothing.

    An aligned face fills its image, so each image is searched within a grey border a quarter as wide. A reflected one
    shows parts of the face again, and now and then one is taken for it.

    Args:
        device: torch device of the detector.
    """

    def __init__(self, device: Any) -> None:
        from synthface.data.detection.mtcnn import FaceDetector

        try:
            self._detector: FaceDetector | None = FaceDetector(device=device)
        except WeightsError as error:
            logger.warning("nobody looks for faces in the images: %s", error)
            self._detector = None

    @property
    def knows(self) -> bool:
        """Whether there is a detector."""
        return self._detector is not None

    def hit_rate(self, blocks: "Iterable[Images]") -> dict[str, Any] | None:
        """Return the share of up to 1,024 images that show a face, see ``share``; None without a detector."""
        if self._detector is None:
            return None
        flags: list[Flags] = []
        left = _MOST_SEARCHED
        for block in blocks:
            part = block[:left]
            flags.append(np.array([len(faces) > 0 for faces in self._detector.detect(_framed(part))]))
            left -= len(part)
            if left == 0:
                break
        return share(np.concatenate(flags))

    def realign(self, images: "Images") -> "tuple[Images, Flags]":
        """Find and align faces as in photos nobody aligned.

        Args:
            images: [n, H, W, 3].

        Returns:
            The aligned faces, [f, 112, 112, 3], and [n] which images had one.
        """
        from synthface.data.alignment import ALIGNED_SIDE
        from synthface.data.cropping import Crop
        from synthface.data.detection.cropper import crop_detected

        assert self._detector is not None
        crops = crop_detected(self._detector, _framed(images))
        faces = [crop.image for crop in crops if isinstance(crop, Crop)]
        found = np.array([isinstance(crop, Crop) for crop in crops])
        return np.stack(faces) if faces else np.zeros((0, ALIGNED_SIDE, ALIGNED_SIDE, 3), np.uint8), found


def share(found: "Flags") -> dict[str, Any]:
    """Return the share of images with a face: ``rate``, ``interval`` (95 %, Wilson) and ``n``."""
    from synthface.metrics.intervals import wilson

    n, hits = len(found), int(found.sum())
    return {"rate": hits / n, "interval": list(wilson(hits, n)), "n": n}


def _framed(images: "Images") -> "list[Images]":
    border = ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0))
    return [np.pad(image, border, constant_values=_GREY) for image in images]
