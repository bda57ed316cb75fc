"""The whole job: any number of targets, group by group."""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inversion.config import SIDE, InversionConfig
from inversion.extras import TEMPLATE_ONLY, Extras
from inversion.frozen import device_of, frozen
from inversion.identity import identity_loss
from inversion.objective import open_objective
from inversion.optimise import StepReport, optimise_group
from inversion.presets import resolve_config
from inversion.result import InversionResult
from inversion.targets.groups import plan_groups
from synthface.core.errors import DataError


def invert(
    R: nn.Module,
    targets: NDArray[np.floating],
    preset: str = "fast",
    seed: int = 0,
    *,
    config: InversionConfig | None = None,
    progress: Callable[[StepReport], None] | None = None,
    compile_step: bool = False,
    half: bool = False,
    extras: Extras = TEMPLATE_ONLY,
) -> InversionResult:
    """Find images whose embeddings under a recogniser are the targets, with natural batch-norm statistics.

    Unless ``extras`` say so, nothing but the recogniser and the targets is used: no generator, no faces. The same
    arguments on the same number of threads of a CPU give the same bytes; ``groups.plan_groups`` says what a target's
    image depends on. Memory beyond the images returned does not grow with the number of targets.

    Args:
        R: recogniser with ``BatchNorm2d`` layers, [N, 3, 112, 112] in [-1, 1] to raw embeddings [N, D], on any
            device; it is used in eval mode without parameter gradients, and left as it was.
        targets: [N, D] embeddings, of any norm.
        preset: ``fast``, ``quality`` or ``paper`` (20,000 steps, 256 targets together: not for a CPU).
        seed: seed of starts, views and companions.
        config: all constants, instead of a preset.
        progress: called after every step.
        compile_step: compile each step with ``torch.compile``: slow to start, then about half as fast again.
        half: compute convolutions in bfloat16, all else in float32: quicker where the processor has instructions for
            it; the images are others, as from another seed.
        extras: a generator as prior, further recognisers and their templates, a validator that chooses among
            candidates; the result's ``beyond_template`` names what a thief of templates would not have.

    Raises:
        DataError: the targets are malformed or of another dimension than the recogniser's embeddings.
        ConfigError: no such preset, or the recogniser has no batch-norm statistics to hold images to.
    """
    groups = []
    for report in inversion_steps(
        R, targets, resolve_config(preset, config), seed, compile_step=compile_step, half=half, extras=extras
    ):
        if progress is not None:
            progress(report)
        if report.finished is not None:
            groups.append(report.finished)
    return InversionResult.join(groups, extras.beyond_template)


def inversion_steps(
    R: nn.Module,
    targets: NDArray[np.floating],
    config: InversionConfig,
    seed: int = 0,
    *,
    skip: Collection[int] = (),
    compile_step: bool = False,
    half: bool = False,
    extras: Extras = TEMPLATE_ONLY,
) -> Iterator[StepReport]:
    """Do the work of ``invert`` lazily: yield a report a step; a group's last one carries its result.

    While the iteration is under way the recogniser is frozen and carries hooks; when it ends or is closed, it is as
    before.

    Args:
        R: the recogniser.
        targets: [N, D] embeddings.
        config: all constants.
        seed: as in ``invert``.
        skip: numbers of groups that an earlier, interrupted run has finished.
        compile_step: as in ``invert``.
        half: as in ``invert``.
        extras: as in ``invert``.
    """
    plan = plan_groups(targets, config, seed)
    extras = extras.checked(len(targets))
    check_dimension(R, np.shape(targets)[1])
    for model, templates in extras.ensemble:
        check_dimension(model, templates.shape[1])
    loss = identity_loss(config, targets, extras.centres, device_of(R))
    # The margin loss is about one model's classes, so that further recognisers always get the cosine.
    with ExitStack() as stack:
        open_one = partial(open_objective, config=config, compiled=compile_step, half=half)
        objectives = [stack.enter_context(open_one(R, identity=loss, measured=extras.statistics))]
        objectives += [stack.enter_context(open_one(model)) for model, _ in extras.ensemble]
        for group in plan:
            if group.number not in skip:
                for objective in objectives:
                    objective.restart()
                yield from optimise_group(R, objectives, group, config, seed, extras)


def check_dimension(R: nn.Module, expected: int) -> None:
    """Raise DataError if a recogniser's embeddings have another number of dimensions than expected."""
    with torch.no_grad(), frozen(R):
        dimension = R(torch.zeros(1, 3, SIDE, SIDE, device=device_of(R))).shape[1]
    if dimension != expected:
        raise DataError(
            f"targets have {expected} dimensions, the recogniser's embeddings {dimension}; "
            "invert with the recogniser that made the targets"
        )
