"""A table of class centres that moves once a step, the same for any number of processes."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


class IdentityCentres:
    """Moving averages of the unit embeddings of each class's generated images.

    Args:
        n_classes: rows of the table.
        dim: size of an embedding.
        batch: images a step, over all processes.
        momentum: share of the old centre that is kept in a step that shows the class.
        device: where to keep the table.
    """

    def __init__(
        self, n_classes: int, dim: int, batch: int, *, momentum: float, device: str | torch.device = "cpu"
    ) -> None:
        self.n_classes, self.momentum = n_classes, momentum
        self.means = torch.zeros(n_classes, dim, device=device)
        self.visits = torch.zeros(n_classes, dtype=torch.int64, device=device)
        self._units = torch.zeros(batch, dim, device=device)
        self._classes = torch.zeros(batch, dtype=torch.int64, device=device)

    def units(self, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the centres of classes [n] at unit length, [n, D], and which of them have been seen, [n] bool."""
        return F.normalize(self.means[classes], dim=1), self.visits[classes] > 0

    def collect(self, units: Tensor, classes: Tensor, first: int) -> None:
        """Keep a micro-batch's unit embeddings [n, D] and classes [n] until the step ends; ``first`` is its place."""
        place = slice(first, first + len(units))
        self._units[place] = units
        self._classes[place] = classes + 1  # 0 is a place that another process fills

    @torch.no_grad()
    def update(self, total: Callable[[Tensor], Tensor]) -> None:
        """Move the centres of the classes of this step, and forget its embeddings.

        Each place in the batch is filled by one process and zero in the others, so the sum over processes is the
        whole batch to the last bit.
        """
        classes, units = total(self._classes), total(self._units)
        filled = classes > 0
        present, row = torch.unique(classes[filled] - 1, return_inverse=True)
        counts = torch.bincount(row, minlength=len(present))
        sums = self.means.new_zeros(len(present), self.means.shape[1]).index_add_(0, row, units[filled])
        means = sums / counts[:, None]
        is_new = (self.visits[present] == 0)[:, None]
        self.means[present] = torch.where(is_new, means, self.means[present].lerp(means, 1 - self.momentum))
        self.visits[present] += counts
        self._units.zero_()
        self._classes.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the table."""
        return {"means": self.means.clone(), "visits": self.visits.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over a saved table."""
        self.means.copy_(state["means"])
        self.visits.copy_(state["visits"])
