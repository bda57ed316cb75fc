"""The optimisation of one group of targets, step by step."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from inversion.config import InversionConfig
from inversion.frozen import device_of, frozen
from inversion.groups import Group
from inversion.objective import TERMS, Objective, term_weights
from inversion.parameterisation import PixelVariable, from_bytes, to_bytes
from inversion.result import GroupResult
from inversion.schedule import learning_rate, plan_stages
from inversion.views import draw_views
from synthface.core.errors import ConfigError

HISTORY = (*TERMS, "cosine")


@dataclass(frozen=True)
class StepReport:
    """Where an optimisation stands.

    Attributes:
        group: number of the group.
        step: steps done in this group, from 1.
        terms: name to value: the weighted terms of the loss, and the mean ``cosine`` of the group's views.
        finished: the group's result, with its last step.
    """

    group: int
    step: int
    terms: dict[str, float]
    finished: GroupResult | None = None


def optimise_group(
    model: nn.Module, objective: Objective, group: Group, config: InversionConfig, seed: int
) -> Iterator[StepReport]:
    """Optimise one group; yield a report after every step.

    Args:
        model: the recogniser, for the final cosines.
        objective: its terms, from ``open_objective``.
        group: targets and companions.
        config: steps, stages, rates and weights.
        seed: seed of start and views.

    Raises:
        ConfigError: the loss became NaN or infinite.
    """
    device = device_of(model)
    targets = torch.from_numpy(np.concatenate([group.targets, group.companions])).to(device)
    maps = draw_views(config, seed, group.seed_parts)
    views = None if maps is None else torch.from_numpy(maps).to(device)
    weights = term_weights(config, device)
    stages = plan_stages(config)
    variable = PixelVariable.from_noise(stages[0].side, config.start_std, seed, group.seed_parts, device)
    history = np.empty((config.steps, len(HISTORY)), np.float32)
    for stage in stages:
        variable = variable.refined(stage.side)
        optimiser = torch.optim.Adam([variable.pixels], lr=config.learning_rate, betas=config.betas)
        for step in range(stage.steps):
            number = stage.start + step
            optimiser.param_groups[0]["lr"] = learning_rate(config, stage, step)
            history[number] = _take_step(objective, variable, optimiser, targets, views, weights, number)
            if not np.isfinite(history[number]).all():
                raise ConfigError(
                    f"inversion diverged at step {number + 1}; lower learning_rate {config.learning_rate}"
                )
            done = number + 1 == config.steps
            finished = _finish(model, variable, group, history) if done else None
            terms = dict(zip(HISTORY, history[number].tolist(), strict=True))
            yield StepReport(group.number, number + 1, terms, finished)


def _take_step(
    objective: Objective,
    variable: PixelVariable,
    optimiser: torch.optim.Optimizer,
    targets: Tensor,
    views: Tensor | None,
    weights: Tensor,
    number: int,
) -> NDArray[np.float32]:
    optimiser.zero_grad(set_to_none=True)
    terms, cosines = objective(variable.image(), targets, None if views is None else views[number])
    weighted = terms * weights
    torch.autograd.backward(weighted.sum())
    optimiser.step()
    variable.clamp()
    values: NDArray[np.float32] = torch.cat([weighted, cosines.mean()[None]]).detach().cpu().numpy()
    return values


def _finish(model: nn.Module, variable: PixelVariable, group: Group, history: NDArray[np.float32]) -> GroupResult:
    n = len(group.indices)
    with torch.no_grad():
        images = to_bytes(variable.image()[:n])
    return GroupResult(
        group=group.number,
        indices=group.indices,
        images=images.cpu().numpy(),
        cosine=cosine_to_targets(model, images, torch.from_numpy(group.targets)),
        history={name: history[:, column] for column, name in enumerate(HISTORY)},
    )


@torch.no_grad()
def cosine_to_targets(model: nn.Module, images: Tensor, targets: Tensor) -> NDArray[np.float32]:
    """Return [N] cosines of the embeddings of [N, H, W, 3] uint8 images with [N, D] targets."""
    with frozen(model):
        embeddings = model(from_bytes(images))
    cosines: NDArray[np.float32] = F.cosine_similarity(embeddings.float(), targets.to(embeddings.device)).cpu().numpy()
    return cosines
