"""Which step belongs to which stage, and the learning rate at each step."""

import math
from dataclasses import dataclass

from inversion.config import InversionConfig


@dataclass(frozen=True)
class Stage:
    """Consecutive steps at one side length, or in a generator's latent space."""

    side: int
    start: int
    steps: int
    latent: bool = False


def plan_stages(config: InversionConfig, *, generator: bool = False) -> list[Stage]:
    """Cut the steps into stages by their shares; a stage that would get no step is left out, the last one never.

    Args:
        config: steps and shares.
        generator: there is one; its latents come first, and pixels share what steps are left.
    """
    begin = round(config.steps * config.latent_share) if generator else 0
    latent = [Stage(config.sides[0], 0, begin, latent=True)] if begin else []
    if begin == config.steps:
        return latent
    ends = [begin + round((config.steps - begin) * share) for share in _running_sum(config.stage_shares)]
    starts = [begin, *ends[:-1]]
    stages = [
        Stage(side, start, end - start)
        for side, start, end in zip(config.sides, starts, ends, strict=True)
        if end > start
    ]
    if stages[-1].side != config.sides[-1]:
        last = stages.pop()
        stages.append(Stage(config.sides[-1], last.start, last.steps))
    return latent + stages


def learning_rate(config: InversionConfig, stage: Stage, step: int) -> float:
    """Return the rate at a step counted from the stage's start: linear warm-up, then cosine or constant.

    The warm-up is at most a fifth of the stage, so that short runs still reach the full rate.
    """
    highest = config.latent_rate if stage.latent else config.learning_rate
    warmup = min(config.warmup_steps, stage.steps // 5)
    if step < warmup:
        return highest * (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return highest
    progress = (step - warmup) / max(1, stage.steps - warmup)
    share = config.final_rate + (1 - config.final_rate) * 0.5 * (1 + math.cos(math.pi * progress))
    return highest * share


def _running_sum(shares: tuple[float, ...]) -> list[float]:
    return [sum(shares[: k + 1]) for k in range(len(shares))]
