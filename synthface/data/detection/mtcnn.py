"""Finding faces: the three stages of MTCNN over a batch of photos (Zhang et al. 2016, section II)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from synthface.core.errors import ConfigError
from synthface.data.detection.boxes import Boxes, shift, square, suppress
from synthface.data.detection.networks import normalise
from synthface.data.detection.weights import load_cascade

_WINDOW, _STRIDE = 12, 2  # of the proposal network, in pixels
_REFINEMENT_SIDE, _OUTPUT_SIDE = 24, 48
_PROPOSAL_CHUNK, _CROP_CHUNK = 8, 64  # images at once: as many as the processor's cache holds
_WORKING_SIDE = 512  # larger photos are searched at a whole fraction of their size, not below this shorter side


@dataclass(frozen=True)
class DetectorConfig:
    """How to search; the thresholds are those of the authors.

    Args:
        min_face: side of the smallest face looked for, as a share of the photo's shorter side.
        min_face_pixels: ... and never less than this many pixels.
        scale_factor: ratio of neighbouring levels of the pyramid.
        thresholds: face probability that each of the three stages demands.
    """

    min_face: float = 0.1
    min_face_pixels: int = 20
    scale_factor: float = 0.709
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)

    def __post_init__(self) -> None:
        if not 0 < self.min_face <= 1:
            raise ConfigError(
                f"--min-face {self.min_face:g} is not in (0, 1]: it is a share of the photo's shorter side"
            )
        if self.min_face_pixels < _WINDOW:
            raise ConfigError(f"--min-face-pixels {self.min_face_pixels} is below {_WINDOW}, the detector's window")


@dataclass(frozen=True)
class Faces:
    """What was found in one photo, best score first.

    Attributes:
        boxes: [n, 4] left, top, right, bottom in continuous pixels.
        scores: [n] face probabilities.
        landmarks: [n, 5, 2] (x, y) of left eye, right eye, nose, left and right mouth corner as the viewer
            sees them; in pixels, with (0, 0) at the centre of the first one.
    """

    boxes: Boxes
    scores: NDArray[np.float64]
    landmarks: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.scores)

    def enlarged(self, factor: int) -> "Faces":
        """Return the same faces in a photo ``factor`` times as large."""
        return Faces(self.boxes * factor, self.scores, (self.landmarks + 0.5) * factor - 0.5)


@dataclass(frozen=True)
class _Candidates:
    """Boxes of all photos of a batch in one table."""

    photo: NDArray[np.int64]
    boxes: Boxes
    scores: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64]) -> "_Candidates":
        return _Candidates(self.photo[rows], self.boxes[rows], self.scores[rows])


_NONE = _Candidates(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0))


class FaceDetector:
    """MTCNN on one device."""

    def __init__(self, config: DetectorConfig | None = None, *, device: str | torch.device = "cpu") -> None:
        self.config = config or DetectorConfig()
        self.device = torch.device(device)
        self._cascade = load_cascade().to(self.device)
        for weight in self._cascade.parameters():
            if weight.ndim == 4:  # two to three times the speed on a CPU
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def detect(self, photos: Sequence[NDArray[np.uint8]]) -> list[Faces]:
        """Find the faces in photos, [height, width, 3] uint8 RGB each, of any sizes."""
        factors = [max(1, min(photo.shape[:2]) // _WORKING_SIDE) for photo in photos]
        pictures = [
            Image.fromarray(photo).reduce(k) if k > 1 else Image.fromarray(photo)
            for photo, k in zip(photos, factors, strict=True)
        ]
        faces = self._finish(pictures, self._refine(pictures, self._propose(pictures)))
        return [found.enlarged(factor) for found, factor in zip(faces, factors, strict=True)]

    def _propose(self, pictures: Sequence[Image.Image]) -> _Candidates:
        """Stage 1: every window of an image pyramid."""
        found = [_NONE]
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, picture in enumerate(pictures):
            by_size.setdefault(picture.size, []).append(index)
        for size, members in by_size.items():
            for level_size in self._pyramid(*size):
                found += self._propose_level(pictures, members, size, level_size)
        table = _concatenate(found)
        return table.take(_kept_in_each_photo(table, 0.7))

    def _pyramid(self, width: int, height: int) -> Iterator[tuple[int, int]]:
        smallest = max(self.config.min_face * min(width, height), self.config.min_face_pixels)
        scale = _WINDOW / smallest
        while min(width, height) * scale >= _WINDOW:
            yield round(width * scale), round(height * scale)
            scale *= self.config.scale_factor

    def _propose_level(
        self, pictures: Sequence[Image.Image], members: list[int], size: tuple[int, int], level_size: tuple[int, int]
    ) -> Iterator[_Candidates]:
        pixels = np.stack([np.asarray(pictures[k].resize(level_size, Image.Resampling.BILINEAR)) for k in members])
        scores, offsets = self._run(self._cascade.proposal, pixels, _PROPOSAL_CHUNK)
        ratio = np.array([size[0] / level_size[0], size[1] / level_size[1]])
        for member, score, offset in zip(members, scores, offsets, strict=True):
            row, column = np.nonzero(score > self.config.thresholds[0])
            corner = np.stack([column, row], axis=1) * _STRIDE
            boxes = np.concatenate([corner * ratio, (corner + _WINDOW) * ratio], axis=1)
            found = score[row, column].astype(np.float64)
            kept = suppress(boxes, found, 0.5)
            boxes = shift(boxes[kept], offset[:, row[kept], column[kept]].T)
            yield _Candidates(np.full(len(kept), member), boxes, found[kept])

    def _refine(self, pictures: Sequence[Image.Image], found: _Candidates) -> _Candidates:
        """Stage 2: most of the windows go."""
        boxes = square(found.boxes)
        scores, offsets = self._run(self._cascade.refinement, _crop(pictures, found.photo, boxes, _REFINEMENT_SIDE))
        keep = np.flatnonzero(scores > self.config.thresholds[1])
        refined = _Candidates(found.photo[keep], boxes[keep], scores[keep].astype(np.float64))
        kept = _kept_in_each_photo(refined, 0.7)
        return _Candidates(refined.photo[kept], shift(refined.boxes[kept], offsets[keep[kept]]), refined.scores[kept])

    def _finish(self, pictures: Sequence[Image.Image], found: _Candidates) -> list[Faces]:
        """Stage 3: the faces, their boxes and landmarks."""
        boxes = square(found.boxes)
        scores, offsets, points = self._run(self._cascade.output, _crop(pictures, found.photo, boxes, _OUTPUT_SIDE))
        keep = np.flatnonzero(scores > self.config.thresholds[2])
        photo, boxes, scores = found.photo[keep], boxes[keep], scores[keep]
        # Taken as pixel indices, not as distances from the picture's edge: against LFW crops aligned by others the
        # first agrees within 0.15 pixels on average, the second is off by 0.3 to 0.4.
        landmarks = boxes[:, None, :2] + points[keep] * (boxes[:, None, 2:] - boxes[:, None, :2])
        boxes = shift(boxes, offsets[keep])
        faces = []
        for index in range(len(pictures)):
            rows = np.flatnonzero(photo == index)
            rows = rows[suppress(boxes[rows], scores[rows], 0.7, over="smaller")]
            faces.append(Faces(boxes[rows], scores[rows].astype(np.float64), landmarks[rows]))
        return faces

    def _run(
        self, network: torch.nn.Module, pixels: NDArray[np.uint8], chunk: int = _CROP_CHUNK
    ) -> list[NDArray[np.float32]]:
        starts = range(0, max(len(pixels), 1), chunk)
        parts = [network(normalise(torch.from_numpy(pixels[k : k + chunk]).to(self.device))) for k in starts]
        return [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)]


def _crop(pictures: Sequence[Image.Image], photo: NDArray[np.int64], boxes: Boxes, side: int) -> NDArray[np.uint8]:
    """Return the boxes' content as [N, side, side, 3]; what lies outside the picture is black."""
    crops = np.zeros((len(boxes), side, side, 3), np.uint8)
    for row, (index, box) in enumerate(zip(photo, boxes.astype(int).tolist(), strict=True)):
        crops[row] = np.asarray(pictures[index].crop(tuple(box)).resize((side, side), Image.Resampling.BILINEAR))
    return crops


def _concatenate(parts: Sequence[_Candidates]) -> _Candidates:
    return _Candidates(
        np.concatenate([part.photo for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


def _kept_in_each_photo(found: _Candidates, threshold: float) -> NDArray[np.int64]:
    kept = []
    for index in np.unique(found.photo):
        rows = np.flatnonzero(found.photo == index)
        kept.append(rows[suppress(found.boxes[rows], found.scores[rows], threshold)])
    return np.concatenate(kept) if kept else np.zeros(0, np.int64)
