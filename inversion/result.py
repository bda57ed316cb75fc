"""What an inversion gives back."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class GroupResult:
    """One group of targets.

    Attributes:
        group: number of the group.
        indices: the targets' numbers, in order.
        images: [n, 112, 112, 3] uint8.
        cosine: [n] float32, of the recogniser's embeddings of those 8-bit images with the targets.
        history: name of each term (those of ``objective.TERMS``, weighted; and ``cosine`` of the views)
            to [steps] float32, means over the group with its companions.
    """

    group: int
    indices: tuple[int, ...]
    images: NDArray[np.uint8]
    cosine: NDArray[np.float32]
    history: dict[str, NDArray[np.float32]]

    def to_npz(self) -> bytes:
        """Return the content of an ``.npz`` file."""
        stream = io.BytesIO()
        arrays = {f"history/{name}": values for name, values in self.history.items()}
        np.savez(
            stream,
            group=np.array(self.group),
            indices=np.array(self.indices),
            images=self.images,
            cosine=self.cosine,
            **arrays,  # type: ignore[arg-type]
        )
        return stream.getvalue()

    @classmethod
    def from_npz(cls, content: bytes) -> "GroupResult":
        """Read what ``to_npz`` returned."""
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            history = {name.removeprefix("history/"): file[name] for name in file if name.startswith("history/")}
            indices = tuple(file["indices"].tolist())
            return cls(int(file["group"]), indices, file["images"], file["cosine"], history)


@dataclass(frozen=True)
class InversionResult:
    """All targets, in the order they were given.

    Attributes:
        images: [N, 112, 112, 3] uint8.
        cosine: [N] float32, under the inverted recogniser, after rounding to 8 bits. High values show that the
            optimisation worked, not that a person can be recognised: another recogniser has to say that.
        history: as in ``GroupResult``, [groups, steps].
        beyond_template: what was used beside the recogniser and one template a target; see ``extras``.
    """

    images: NDArray[np.uint8]
    cosine: NDArray[np.float32]
    history: dict[str, NDArray[np.float32]]
    beyond_template: tuple[str, ...] = ()

    @classmethod
    def join(cls, groups: Sequence[GroupResult], beyond_template: tuple[str, ...] = ()) -> "InversionResult":
        """Put groups together, in the order given."""
        return cls(
            images=np.concatenate([group.images for group in groups]),
            cosine=np.concatenate([group.cosine for group in groups]),
            history={name: np.stack([group.history[name] for group in groups]) for name in groups[0].history},
            beyond_template=beyond_template,
        )
