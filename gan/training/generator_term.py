"""What a further player in the generator's loss has to offer to the trainer."""

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor


class GeneratorTerm(Protocol):
    """A term of the generator's loss beside the discriminator's verdict.

    Within a step its value depends on the micro-batch and on the state before the step alone; the state moves once,
    after the step, from what all micro-batches of all processes brought. So N processes train as one does.
    """

    def __call__(
        self, images: Tensor, labels: Tensor, seen_images: int, *, first: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted loss, a scalar averaged over the micro-batch, and figures to report, without gradient.

        A figure is a scalar, or, of what only some images have, a pair [2]: its sum over these divided by n, and their
        share of the n; see ``step_metrics.settled``.

        Args:
            images: [n, 3, H, W], generated and not augmented, about [-1, 1]; the gradient goes back through them.
            labels: [n] int64 classes.
            seen_images: real images that the training had seen before this step, which decides the schedules.
            first: index of the micro-batch's first image within the step's batch over all processes.
        """
        ...

    def after_step(self, seen_images: int, total: Callable[[Tensor], Tensor]) -> None:
        """Move the state; called once a step in every process, after the last micro-batch.

        Args:
            seen_images: as given to the calls of this step.
            total: sums a tensor over processes; the identity for one process.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        ...
