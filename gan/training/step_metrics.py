"""What a training step tells of itself, and the mean over several steps."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class StepMetrics:
    """Means over one step's images; None where the step did not compute it.

    Attributes:
        loss_generator: where the generator is not trained yet, on the images that the discriminator was trained on.
        extra: from further players.
        replaced: elements of a phase's gradient that were no finite numbers, for phases that had any.
    """

    loss_generator: float
    loss_discriminator: float
    score_real: float
    score_fake: float
    r1: float | None
    path_length: float | None = None
    extra: dict[str, float] = field(default_factory=dict)
    replaced: dict[str, int] = field(default_factory=dict)


def settled(figures: Mapping[str, Tensor]) -> dict[str, float]:
    """Return figures of a whole step as numbers: a scalar as it is, a pair [2] of sum and share as their ratio.

    What only some images have comes as such a pair: its sum over these, divided by all images, and their share of all.
    Both are averaged over micro-batches and processes, which a mean over some images of each of them could not be.
    Where no image has it, it is left out.
    """
    numbers = {}
    for name, figure in figures.items():
        if figure.ndim == 0:
            numbers[name] = float(figure)
        elif share := float(figure[1]):
            numbers[name] = float(figure[0]) / share
    return numbers


def mean_metrics(steps: list[StepMetrics]) -> dict[str, float | None]:
    """Average each metric over the steps that have it.

    Elements of gradients that were replaced are added up, as ``replaced_generator`` and the like; a phase that had none
    has no such figure.
    """
    names = [part.name for part in dataclasses.fields(StepMetrics) if part.name not in ("extra", "replaced")]
    rows = [{name: getattr(step, name) for name in names} | step.extra for step in steps]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row[name] for row in rows if row.get(name) is not None] for name in names}
    means = {name: sum(column) / len(column) if column else None for name, column in columns.items()}
    phases = dict.fromkeys(phase for step in steps for phase in step.replaced)
    totals = {phase: sum(step.replaced.get(phase, 0) for step in steps) for phase in phases}
    return means | {f"replaced_{phase.replace(' ', '_')}": float(total) for phase, total in totals.items()}
