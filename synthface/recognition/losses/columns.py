"""Which column of the logits is each image's own class: all columns in one process, or spread over several."""

import torch
import torch.nn.functional as F
from torch import Tensor

from synthface.recognition.losses.collectives import greatest_across_processes, summed


class Columns:
    """The classes that take part in a step, all of them here.

    Args:
        y: [B] column of each image's class.
    """

    def __init__(self, y: Tensor) -> None:
        self.y = y
        self._images = torch.arange(len(y), device=y.device)

    def own(self, z: Tensor) -> Tensor:
        """Return [B] each image's value for its own class, from [B, S]."""
        return z[self._images, self.y]

    def with_own(self, z: Tensor, values: Tensor) -> Tensor:
        """Return [B, S] with other values [B] (or one) for the own classes."""
        return z.index_put((self._images, self.y), values)

    def logsumexp(self, logits: Tensor) -> Tensor:
        """Return [B] log sum exp over all classes."""
        return torch.logsumexp(logits, dim=1)

    def cross_entropy(self, logits: Tensor) -> Tensor:
        """Return the mean cross entropy of [B, S] logits."""
        return F.cross_entropy(logits, self.y)

    def of_classes(self, values: Tensor) -> Tensor:
        """Return [S] those of one value a class, [C], that belong to the columns."""
        return values


class SpreadColumns(Columns):
    """Columns spread over processes: each has some classes' columns for the images [B] of all processes.

    What is returned for an image is the same in every process.

    Args:
        y: [B] column of each image's class, where it is here.
        here: [B] bool, whether it is here.
        classes: [S] class of each column here, or the run of them.
    """

    def __init__(self, y: Tensor, here: Tensor, classes: Tensor | slice) -> None:
        self._images = here.nonzero()[:, 0]
        self.y = y[self._images]
        self._classes = classes

    def own(self, z: Tensor) -> Tensor:
        """Return [B] each image's value for its own class, from the process that has it."""
        return summed(z.new_zeros(len(z)).index_put((self._images,), z[self._images, self.y]))

    def with_own(self, z: Tensor, values: Tensor) -> Tensor:
        """Return [B, S] with other values [B] (or one) for those own classes that are here."""
        return z.index_put((self._images, self.y), values[self._images] if values.ndim else values)

    def logsumexp(self, logits: Tensor) -> Tensor:
        """Return [B] log sum exp over the columns of all processes."""
        with torch.no_grad():
            none = logits.new_full((len(logits),), -torch.inf)  # a sample may leave a process without a column
            top = greatest_across_processes(logits.amax(dim=1) if logits.shape[1] else none)
        return top + summed((logits - top[:, None]).exp().sum(dim=1)).log()

    def cross_entropy(self, logits: Tensor) -> Tensor:
        """Return the mean cross entropy over the images of all processes."""
        return (self.logsumexp(logits) - self.own(logits)).mean()

    def of_classes(self, values: Tensor) -> Tensor:
        """Return [S] those of one value a class, [C], that belong to the columns here."""
        return values[self._classes]
