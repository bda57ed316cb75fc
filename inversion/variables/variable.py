"""What every variable of the optimisation can do."""

from typing import Protocol

from torch import Tensor


class Variable(Protocol):
    """Numbers that an optimiser changes, and the images they stand for."""

    def parameters(self) -> list[Tensor]:
        """Return the leaf tensors to optimise."""
        ...

    def image(self) -> Tensor:
        """Return the images as [N, 3, 112, 112], about in [-1, 1]; differentiable."""
        ...

    def refined(self, side: int, *, mirrored: bool = False) -> "Variable":
        """Return the variable of a later stage: as nearly as can be the same images, at another side length.

        With ``mirrored``, the images' means with their mirror images.
        """
        ...

    def clamp(self) -> None:
        """Bring the numbers back into their range after a step."""
        ...

    def penalty(self) -> Tensor | None:
        """Return what the numbers themselves cost, unweighted; None where nothing."""
        ...
