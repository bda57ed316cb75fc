"""The monitor of a generator's training, with a recogniser and the real images that the run is compared with."""

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import DataError
from synthface.data import FaceSet
from synthface.workflows.compute import Compute
from synthface.workflows.embed import embed_faceset

if TYPE_CHECKING:
    from gan.monitor_config import MonitorConfig
    from gan.training.monitor import Monitor


def real_features(
    faces: FaceSet, config: "MonitorConfig", resolution: int, compute: Compute
) -> NDArray[np.float32] | None:
    """Return the training images' features at the generator's resolution, embedded once; None if nothing is measured.

    Every process calls this, before training starts: they share the work.

    Raises:
        DataError: fewer than 3 identities have 2 images, so that the monitor could not tell them apart.
    """
    if not config.ticks:
        return None
    n_plural = int(np.count_nonzero(np.bincount(faces.labels) >= 2))
    if n_plural < 3:  # before the whole set is embedded for nothing
        raise DataError(
            f"--faces {faces.root}: {n_plural} identities have 2 images, too few to measure separability; "
            "add --monitor.ticks 0 to train without measuring"
        )
    return embed_faceset(faces, config.recognizer, compute=compute, via_size=resolution).vectors


def make_monitor(
    config: "MonitorConfig",
    features: NDArray[np.float32],
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    device: Any,
    seed: int,
) -> "Monitor":
    """Return the monitor of a run.

    Args:
        config: what to draw.
        features: [N, D] of the training images, from ``real_features``.
        pixels: [N, H, W, 3] uint8 training images at the generator's resolution.
        labels: [N] int64.
        device: torch device for the recogniser.
        seed: the run's seed.
    """
    from gan.training.monitor import Monitor, RealImages
    from synthface.data.images import resize_image
    from synthface.recognition import load_recognizer

    recognizer = load_recognizer(config.recognizer, str(device))
    side = recognizer.side

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        # Resized by the same code as the real ones: another filter would show as a distance.
        return recognizer.embed(np.stack([resize_image(image, side, side) for image in images]))

    return Monitor(config, RealImages(features, pixels, labels), embed, seed)


def timed(monitor: "Monitor", G: Any, grid: NDArray[np.uint8]) -> dict[str, Any]:
    """Measure, and add how long that took."""
    started = time.monotonic()
    measurement = monitor.measure(G, grid)
    return {**measurement, "seconds": round(time.monotonic() - started, 2)}
