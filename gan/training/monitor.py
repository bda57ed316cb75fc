"""How good the images of a training are, measured in a recogniser's features while it runs."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan.monitor_config import MonitorConfig
from gan.networks.generator import Generator
from gan.sampling.images import ImageRequest, draw_images
from synthface.core.errors import DataError
from synthface.core.seeds import derive_seed, numpy_generator
from synthface.metrics.frechet import frechet_distance, moments
from synthface.metrics.kernel_distance import kernel_distance
from synthface.metrics.manifold import manifold_scores
from synthface.metrics.sampled_pairs import mated_and_non_mated
from synthface.metrics.spread import between_group_variance, within_group_variance
from synthface.metrics.verification import equal_error_rate, fisher_ratio

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Pixels = NDArray[np.uint8]
Measurement = dict[str, float | int | None]
GRID_CLASSES, GRID_SEEDS = 8, 8
_FULL_SCALE = 255.0


@dataclass(frozen=True)
class RealImages:
    """The training images that generated ones are compared with, in manifest order.

    Attributes:
        features: [N, D] unit float32, embedded at the generator's resolution.
        pixels: [N, H, W, 3] uint8; may be memory-mapped.
        labels: [N] int64 class of each.
    """

    features: NDArray[np.float32]
    pixels: Pixels
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Spread:
    """Variances of the same images in two spaces.

    Attributes:
        features: of unit features, summed over the dimensions.
        pixels: of uint8 pixels, summed over all of an image.
    """

    features: float
    pixels: float


@dataclass(frozen=True)
class RealSpread:
    """How much real images differ: the measure of what seeds, and classes, change in generated ones.

    Attributes:
        within: images of one class.
        between: classes.
    """

    within: Spread
    between: Spread


def draw_grid(G: Generator, seed: int) -> Pixels:
    """Draw classes (rows, evenly spaced) by seeds (columns, the same in every row), [R, C, H, W, 3] uint8."""
    n_rows = min(GRID_CLASSES, max(1, G.n_classes))
    classes = [row * max(1, G.n_classes // n_rows) for row in range(n_rows)]
    images = _draw(G, [(k, derive_seed(seed, "grid", column)) for k in classes for column in range(GRID_SEEDS)])
    return images.reshape(n_rows, GRID_SEEDS, *images.shape[1:])


class Monitor:
    """Draws the same seeds of the same classes each time and compares them with real images.

    Both sides count classes alike (at most ``per_class`` images each), whatever the sizes of the real classes.
    Everything drawn here has its own seeds: measuring does not change the training.

    Args:
        config: which images.
        real: the training images.
        embed: uint8 images [n, H, W, 3] to unit float32 features [n, D], treated as the real ones were.
        seed: the run's seed.

    Raises:
        DataError: fewer than 3 classes have 2 images, so that identities cannot be told apart.
    """

    def __init__(self, config: MonitorConfig, real: RealImages, embed: Embed, seed: int) -> None:
        self.config, self.embed, self.seed = config, embed, seed
        counts = np.bincount(real.labels)
        plural = np.flatnonzero(counts >= 2)
        if len(plural) < 3:
            raise DataError(
                f"{len(plural)} identities have 2 images, too few to measure separability; "
                "add --monitor.ticks 0 to train without measuring"
            )
        self.classes = plural[np.linspace(0, len(plural) - 1, min(config.classes, len(plural))).astype(int)]
        self.labels = np.repeat(self.classes, config.per_class)
        rows = balanced_rows(real.labels, config.per_class, seed)
        order = numpy_generator(seed, "monitor", "real images").permutation(len(rows))
        sample, rest = rows[np.sort(order[: len(self.labels)])], rows[np.sort(order[len(self.labels) :])]
        self._moments = moments(real.features[rows])
        self._sample, self._sample_labels = real.features[sample], real.labels[sample]
        enough = len(rest) >= len(sample)
        floor = frechet_distance(moments(self._sample), moments(real.features[rest])).value if enough else None
        drawn = rows[np.isin(real.labels[rows], self.classes)]
        features, pixels, labels = real.features[drawn], real.pixels[drawn], real.labels[drawn]
        self._real = real_spread(features, pixels, labels)
        eer, fisher = _separability(features, labels)
        self._reference = {
            "frechet_floor": floor,
            "eer_real": eer,
            "fisher_ratio_real": fisher,
            "diversity_real": self._real.within.features,
            "diversity_pixels_real": _of_full_scale(self._real.within.pixels, pixels),
        }

    def measure(self, G: Generator, grid: Pixels) -> Measurement:
        """Return every figure of the generator as it is now.

        Args:
            G: the generator, usually the moving average.
            grid: its ``draw_grid``, from which it is told whether seeds and classes make a difference.
        """
        drawn = _draw(
            G,
            [
                (int(k), derive_seed(self.seed, "monitor", int(k), j))
                for k in self.classes
                for j in range(self.config.per_class)
            ],
        )
        of_grid = grid.reshape(-1, *grid.shape[2:])
        features, grid_features = np.split(self.embed(np.concatenate((drawn, of_grid))), [len(drawn)])
        kernel = kernel_distance(self._sample, features, scale=1.0, groups_a=self._sample_labels, groups_b=self.labels)
        manifold = manifold_scores(
            self._sample, features, neighbours=min(self.config.neighbours, len(self._sample) - 1)
        )
        eer, fisher = _separability(features, self.labels)
        return {
            "n_images": len(drawn),
            "n_real": len(self._sample),
            "frechet": frechet_distance(self._moments, moments(features)).value,
            "kernel_distance": kernel.value,
            "kernel_distance_error": kernel.standard_error,
            "precision": manifold.precision,
            "recall": manifold.recall,
            "density": manifold.density,
            "coverage": manifold.coverage,
            "eer": eer,
            "fisher_ratio": fisher,
            "diversity": within_group_variance(features, self.labels),
            "diversity_pixels": _of_full_scale(within_group_variance(drawn, self.labels), drawn),
            **self._shares(of_grid, grid_features, n_rows=len(grid)),
            **self._reference,
        }

    def _shares(self, images: Pixels, features: NDArray[np.float32], *, n_rows: int) -> Measurement:
        """Return how much seeds, and classes, change an image, as shares of what real images differ by.

        In a grid every row has the same seeds. Within a row only the seed changes, within a column only the class;
        where one of them is ignored the variance is exactly 0. Of features and pixels the larger share counts: a
        collapse leaves neither, while an identity player may well take most of the first.
        """
        n_columns = len(images) // n_rows
        row, column = np.repeat(np.arange(n_rows), n_columns), np.tile(np.arange(n_columns), n_rows)
        return {
            f"{what}_share": max(
                within_group_variance(features, groups) / max(real.features, 1e-12),
                within_group_variance(images, groups) / max(real.pixels, 1e-12),
            )
            for what, groups, real in (("seed", row, self._real.within), ("class", column, self._real.between))
        }


def real_spread(features: NDArray[np.float32], pixels: Pixels, labels: NDArray[np.int64]) -> RealSpread:
    """Return the spread of real images: features [N, D], pixels [N, H, W, 3], labels [N]."""
    within, between = (
        Spread(variance(features, labels), variance(pixels, labels))
        for variance in (within_group_variance, between_group_variance)
    )
    return RealSpread(within, between)


def balanced_rows(labels: NDArray[np.int64], per_class: int, seed: int) -> NDArray[np.int64]:
    """Return, sorted, at most ``per_class`` seeded random rows of every class."""
    shuffled = numpy_generator(seed, "monitor", "balanced").permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    ordered = labels[by_class]
    rank = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    return np.sort(by_class[rank < per_class])


def _draw(G: Generator, images: list[tuple[int, int]]) -> Pixels:
    """Draw images of (class, seed), [n, H, W, 3] uint8."""
    requests = [ImageRequest(seed=seed, code={k: 1.0}) for k, seed in images]
    return np.stack([image for _, image in draw_images(G, requests)])


def _of_full_scale(variance: float, images: Pixels) -> float:
    """Return the variance of images [N, H, W, 3] as a standard deviation of a value of theirs, a share of 255."""
    return math.sqrt(variance / images[0].size) / _FULL_SCALE


def _separability(features: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[float, float | None]:
    """Return EER and Fisher ratio; None for a ratio that is infinite, which JSON cannot hold."""
    mated, non_mated = mated_and_non_mated(features, labels)
    ratio = fisher_ratio(mated, non_mated)
    return equal_error_rate(mated, non_mated), ratio if math.isfinite(ratio) else None
