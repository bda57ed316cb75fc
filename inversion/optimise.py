"""The optimisation of one group of targets, step by step."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from inversion.averaging import ImageAverage
from inversion.config import InversionConfig
from inversion.extras import TEMPLATE_ONLY, Extras
from inversion.frozen import device_of, frozen
from inversion.images import from_bytes, symmetric, to_bytes
from inversion.objective import TERMS, Objective, term_weights
from inversion.result import GroupResult
from inversion.schedule import Stage, learning_rate, plan_stages
from inversion.selection import select_candidates
from inversion.targets.groups import Group
from inversion.variables import start_variable
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
        images_now: returns the targets' images as they are until the next step, [n, 112, 112, 3] uint8; of several
            candidates the first.
    """

    group: int
    step: int
    terms: dict[str, float]
    finished: GroupResult | None = None
    images_now: Callable[[], NDArray[np.uint8]] | None = None


def optimise_group(
    model: nn.Module,
    objectives: Sequence[Objective],
    group: Group,
    config: InversionConfig,
    seed: int,
    extras: Extras = TEMPLATE_ONLY,
) -> Iterator[StepReport]:
    """Optimise one group; yield a report after every step.

    Args:
        model: the recogniser, for the final cosines.
        objectives: its terms, from ``open_objective``, and those of each further recogniser of ``extras``.
        group: targets and companions.
        config: steps, stages, rates and weights.
        seed: seed of start and views.
        extras: generator, further recognisers and validator.

    Raises:
        ConfigError: the loss became NaN or infinite.
    """
    run = _Run(model, objectives, group, config, seed, extras)
    for stage in plan_stages(config, generator=extras.generator is not None):
        run.enter(stage)
        for step in range(stage.steps):
            terms = run.take_step(stage, step)
            done = stage.start + step + 1 == config.steps
            finished = run.result(model, extras.validator) if done else None
            yield StepReport(group.number, stage.start + step + 1, terms, finished, partial(run.images, 1))


class _Run:
    """The state of one group's optimisation."""

    def __init__(
        self,
        model: nn.Module,
        objectives: Sequence[Objective],
        group: Group,
        config: InversionConfig,
        seed: int,
        extras: Extras,
    ) -> None:
        self._group, self._config, self._device = group, config, device_of(model)
        drawn = draw_views(config, seed, group.seed_parts)
        self._views = None if drawn is None else torch.from_numpy(drawn).to(self._device)
        n_views = 1 if drawn is None else config.views
        own = group.raw_members() if config.identity_form == "feature_l2" else group.members()
        members = [own, *(group.members(templates, seed) for _, templates in extras.ensemble)]
        targets = [torch.from_numpy(vectors).to(self._device).repeat(n_views, 1) for vectors in members]
        self._parts = list(zip(objectives, targets, strict=True))
        for objective in objectives:
            objective.restart()
        self._variable = start_variable(
            config, seed, group.seed_parts, self._device, generator=extras.generator, image=extras.start_image
        )
        self._average = ImageAverage(config.average_decay)
        self._average_from = config.steps - round(config.average_share * config.steps)
        self._symmetric_steps = round(config.symmetric_share * config.steps)
        self._symmetric = self._symmetric_steps > 0
        self._history: list[dict[str, float]] = []

    def enter(self, stage: Stage) -> None:
        """Bring the variable to a stage's side, with an optimiser that has no past."""
        if not stage.latent:
            self._variable = self._variable.refined(stage.side, mirrored=self._symmetric)
        betas = self._config.betas
        self._optimiser = torch.optim.Adam(self._variable.parameters(), lr=self._config.learning_rate, betas=betas)

    def take_step(self, stage: Stage, step: int) -> dict[str, float]:
        """Take a step of a stage; return the weighted terms of the loss, and the mean cosine."""
        number = stage.start + step
        self._symmetric = number < self._symmetric_steps
        self._optimiser.param_groups[0]["lr"] = learning_rate(self._config, stage, step)
        self._optimiser.zero_grad(set_to_none=True)
        images, views = self._image(), None if self._views is None else self._views[number]
        found = [objective(images, targets, views) for objective, targets in self._parts]
        weights = term_weights(self._config, self._device) * _smoothness_factors(self._config, number, self._device)
        weighted = torch.stack([terms for terms, _ in found]).mean(0) * weights
        penalty = self._variable.penalty()
        loss = weighted.sum()
        if penalty is not None:
            loss = loss + self._config.latent_weight * penalty
        torch.autograd.backward(loss)
        self._optimiser.step()
        self._variable.clamp()
        if number >= self._average_from:
            self._average.update(self._image())
        terms = dict(zip(HISTORY, torch.cat([weighted, found[0][1].mean()[None]]).detach().cpu().tolist(), strict=True))
        if not np.isfinite(list(terms.values())).all():
            rate = "latent_rate" if stage.latent else "learning_rate"
            raise ConfigError(f"inversion diverged at step {number + 1}; lower {rate} {getattr(self._config, rate)}")
        self._history.append(terms)
        return terms

    def _image(self) -> Tensor:
        images = self._variable.image()
        return symmetric(images) if self._symmetric else images

    @torch.no_grad()
    def images(self, candidates: int) -> NDArray[np.uint8]:
        """Return the first candidates' images as they are now, [candidates * n, 112, 112, 3] uint8."""
        average = self._average.images()
        images = self._image() if average is None else average
        found: NDArray[np.uint8] = to_bytes(images[: candidates * len(self._group.indices)]).cpu().numpy()
        return found

    def result(self, model: nn.Module, validator: nn.Module | None) -> GroupResult:
        """Return the images, one of the candidates for each target."""
        group, n = self._group, len(self._group.indices)
        images = self.images(group.candidates)
        if group.candidates > 1:
            candidates = images.reshape(group.candidates, n, *images.shape[1:])
            images = candidates[select_candidates(model, candidates, group.targets, validator), np.arange(n)]
        cosine = cosine_to_targets(model, torch.from_numpy(images).to(self._device), torch.from_numpy(group.targets))
        history = {name: np.array([terms[name] for terms in self._history], np.float32) for name in HISTORY}
        return GroupResult(group=group.number, indices=group.indices, images=images, cosine=cosine, history=history)


def _smoothness_factors(config: InversionConfig, number: int, device: torch.device) -> Tensor:
    """Return the factor on each term at a step: smoothness counts more in early ones."""
    left = 1 - number / max(1, config.steps - 1)
    early = 1 + (config.tv_early_factor - 1) * left
    return torch.tensor([early if name.startswith("tv") else 1.0 for name in TERMS], device=device)


@torch.no_grad()
def cosine_to_targets(model: nn.Module, images: Tensor, targets: Tensor) -> NDArray[np.float32]:
    """Return [N] cosines of the embeddings of [N, H, W, 3] uint8 images with [N, D] targets."""
    with frozen(model):
        embeddings = model(from_bytes(images))
    cosines: NDArray[np.float32] = F.cosine_similarity(embeddings.float(), targets.to(embeddings.device)).cpu().numpy()
    return cosines
