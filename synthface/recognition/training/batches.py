"""Which images a training step sees: every image once an epoch, or several images of each of some classes."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import ConfigError, DataError
from synthface.core.seeds import numpy_generator
from synthface.recognition.training.augmentation import epoch_order


class Batches(Protocol):
    """A plan of batches that depends on (seed, epoch, step) and on nothing that happened before.

    Attributes:
        size: images a step, over all processes together.
        steps_per_epoch: steps a pass over the images takes.
    """

    size: int
    steps_per_epoch: int

    def images(self, epoch: int, step: int) -> NDArray[np.int64]:
        """Return the images of one step, of all processes together."""
        ...

    def slots(self, *, rank: int, world_size: int) -> NDArray[np.int64]:
        """Return which places of every step belong to one process."""
        ...


class ShuffledBatches:
    """Every image once an epoch, in a seeded order; what does not fill a batch at the end is left out."""

    def __init__(self, n_images: int, batch: int, *, seed: int, world_size: int = 1) -> None:
        self.size = min(batch, n_images)
        if self.size % world_size or self.size < 2 * world_size:
            raise ConfigError(f"--batch {self.size} cannot be shared by {world_size} processes, 2 images each")
        self.steps_per_epoch = n_images // self.size
        self._n_images, self._seed = n_images, seed
        self._epoch, self._order = -1, np.zeros(0, np.int64)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the images of an epoch in the order they are visited."""
        return epoch_order(self._n_images, seed=self._seed, epoch=epoch)

    def images(self, epoch: int, step: int) -> NDArray[np.int64]:
        """Return the images of one step, of all processes together."""
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self.order(epoch)
        return self._order[step * self.size : (step + 1) * self.size]

    def slots(self, *, rank: int, world_size: int) -> NDArray[np.int64]:
        """Return every world_size-th place."""
        return np.arange(rank, self.size, world_size)


class MixedBatches(ShuffledBatches):
    """Every set of a mixture with its share of an epoch's images, whatever its size.

    An epoch has as many images as the sets have together. A set that has to give more than it has shows its images
    again, in a new order each time; one that gives fewer shows others in the next epoch, by chance.

    Args:
        parts: [N] number of the set of each image.
        shares: of the sets; only their proportions count.
        batch: images a step over all processes.
        seed: of the orders.
        world_size: processes.

    Raises:
        ConfigError: not one positive share for each set.
    """

    def __init__(
        self, parts: NDArray[np.int64], shares: Sequence[float], batch: int, *, seed: int, world_size: int = 1
    ) -> None:
        super().__init__(len(parts), batch, seed=seed, world_size=world_size)
        self._members = [np.flatnonzero(parts == part) for part in range(len(shares))]
        if not all(map(len, self._members)) or len(shares) != int(parts.max()) + 1 or min(shares) <= 0:
            raise ConfigError(
                f"--shares {list(shares)}: give a positive number for each of {int(parts.max()) + 1} sets"
            )
        ends = np.round(np.cumsum(shares) / sum(shares) * len(parts)).astype(int)
        self._counts = np.diff(ends, prepend=0)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the images of an epoch in the order they are visited."""
        drawn = []
        for part, (members, count) in enumerate(zip(self._members, self._counts, strict=True)):
            rounds = -(-count // len(members))
            orders = [numpy_generator(self._seed, "mixed", epoch, part, k).permutation(members) for k in range(rounds)]
            drawn.append(np.concatenate([*orders, members[:0]])[:count])
        return numpy_generator(self._seed, "mixed", epoch).permutation(np.concatenate(drawn))


class PairBatches:
    """P classes with K images each, drawn anew in every step: what losses on pairs and triplets need.

    Classes of one image show no pair and are left out, so a loss that classifies too never sees them; one with fewer
    than K images shows some of them twice. An epoch has as many images as the other classes together. Whole classes go
    to a process, since pairs are made within one.

    Attributes:
        n_left_out: classes of one image.

    Args:
        labels: [N] class of each image.
        batch: images a step over all processes; P = batch / K, or as many classes as there are.
        per_class: K.
        seed: of the draws.
        world_size: processes.

    Raises:
        DataError: fewer than two classes with two images for each process.
        ConfigError: a batch with fewer than two classes for each process.
    """

    def __init__(
        self, labels: NDArray[np.int64], batch: int, *, per_class: int = 4, seed: int = 0, world_size: int = 1
    ) -> None:
        if per_class < 2:
            raise ConfigError(f"--images-per-class {per_class}: pairs need at least 2")
        order = np.argsort(labels, kind="stable")
        _, first = np.unique(labels[order], return_index=True)
        classes = np.split(order, first[1:])
        self._classes = [images for images in classes if len(images) >= 2]
        self.n_left_out = len(classes) - len(self._classes)
        if len(self._classes) < 2 * world_size:
            raise DataError(
                f"this loss learns from pairs: it needs {2 * world_size} identities with 2 images or more, not "
                f"{len(self._classes)}"
            )
        n_classes = min(batch // per_class, len(self._classes)) // world_size * world_size
        if n_classes < 2 * world_size:
            raise ConfigError(
                f"--batch {batch} holds {n_classes} classes of {per_class} images; give at least "
                f"{2 * world_size * per_class}"
            )
        self._n_classes, self._per_class, self._seed = n_classes, per_class, seed
        self.size = n_classes * per_class
        self.steps_per_epoch = max(1, sum(map(len, self._classes)) // self.size)

    def images(self, epoch: int, step: int) -> NDArray[np.int64]:
        """Return the images of one step, of all processes together, class by class."""
        generator = numpy_generator(self._seed, "pairs", epoch, step)
        chosen = generator.choice(len(self._classes), self._n_classes, replace=False)
        return np.concatenate([self._draw(self._classes[k], generator) for k in chosen])

    def slots(self, *, rank: int, world_size: int) -> NDArray[np.int64]:
        """Return the places of every world_size-th class."""
        return np.arange(self.size).reshape(self._n_classes, self._per_class)[rank::world_size].ravel()

    def _draw(self, images: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        shuffled = generator.permutation(images)
        return np.resize(shuffled, self._per_class)
