"""Has the training failed, and of what? A pure function of its lines of metrics, so that a resumed run agrees."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gan.config import TrainingConfig
from gan.monitor_config import HealthConfig

Line = dict[str, Any]
_P_AT_LIMIT = 0.999


@dataclass(frozen=True)
class Finding:
    """One way in which a training has failed.

    Attributes:
        name: not-finite, seed-collapse, class-collapse or runaway-discriminator.
        what: the figures that show it.
        remedy: what to change before starting again.
    """

    name: str
    what: str
    remedy: str


def diagnose(lines: Sequence[Line], training: TrainingConfig, health: HealthConfig) -> Finding | None:
    """Return what the last of the lines shows to be wrong, or None.

    Args:
        lines: lines of metrics since the beginning, the last one just made; a line with a measurement has "monitor",
            and the last one "finite_weights".
        training: the run's settings: what counts depends on the transition and on the mode of augmentation.
        health: the limits.
    """
    return _not_finite(lines[-1]) or _runaway(lines, training, health) or _collapse(lines, training, health)


def is_suspect(line: Line, training: TrainingConfig, health: HealthConfig) -> bool:
    """Say whether a line looks like a failure that is not certain yet: no checkpoint to go back to."""
    runs_away = _is_overconfident(line, training, health) or _score_gap(line) > health.max_score_gap
    return runs_away or any(_has_collapsed(line, kind, training, health) for kind in _COLLAPSES)


def weights_are_finite(*modules: nn.Module) -> bool:
    """Say whether every parameter and buffer is a finite number."""
    tensors = [t for module in modules for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()]
    return bool(torch.stack([torch.isfinite(tensor).all() for tensor in tensors]).all())


def _not_finite(line: Line) -> Finding | None:
    broken = [name for name, value in line.items() if isinstance(value, float) and not math.isfinite(value)]
    if not broken and line.get("finite_weights", True):
        return None
    return Finding(
        "not-finite",
        f"{', '.join(broken) or 'a weight'} is not a finite number after {line['seen_images']:,} images",
        "a lower --training.learning_rate or a higher --training.r1_gamma",
    )


def _runaway(lines: Sequence[Line], training: TrainingConfig, health: HealthConfig) -> Finding | None:
    remedy = "a higher --training.r1_gamma, a lower --training.learning_rate, or --training.ada.mode adaptive"
    recent = lines[-health.patience :]
    gap = min(map(_score_gap, recent))
    if len(recent) == health.patience and gap > health.max_score_gap:
        what = f"mean scores of real and generated images lie {gap:.0f} apart"
        return Finding("runaway-discriminator", what, remedy)
    began = lines[-1]["seen_images"] - health.runaway_kimg * 1000
    window = [line for line in lines if line["seen_images"] > began]
    if began < 0 or not all(_is_overconfident(line, training, health) for line in window):
        return None
    what = f"r_t stayed above {health.max_r_t} for {health.runaway_kimg:g} kimg (p {lines[-1]['ada_p']:.2f})"
    return Finding("runaway-discriminator", what, remedy)


def _score_gap(line: Line) -> float:
    return float(line["score_real"] - line["score_fake"])


def _is_overconfident(line: Line, training: TrainingConfig, health: HealthConfig) -> bool:
    """A p that can still rise is given the time to: that is what it is for."""
    has_reserve = training.ada.mode == "adaptive" and line["ada_p"] < _P_AT_LIMIT
    return bool(line["r_t"] > health.max_r_t and not has_reserve)


_COLLAPSES = {
    "seed": "--training.transition.end_kimg (begin without classes), a lower --training.identity.weight, "
    "or a higher --training.r1_gamma",
    "class": "--network.class_scale 1, --training.transition.end_kimg (begin without classes), "
    "or --training.sampling balanced",
}


def _collapse(lines: Sequence[Line], training: TrainingConfig, health: HealthConfig) -> Finding | None:
    measured = [line for line in lines if "monitor" in line][-health.patience :]
    if len(measured) < health.patience or "monitor" not in lines[-1]:
        return None
    for kind, remedy in _COLLAPSES.items():
        if all(_has_collapsed(line, kind, training, health) for line in measured):
            share = measured[-1]["monitor"][f"{kind}_share"]
            what = (
                f"the image is nearly the same for every {kind}: images differ by {share:.1%} of what real ones do, "
                f"in {health.patience} measurements"
            )
            return Finding(f"{kind}-collapse", what, remedy)
    return None


def _has_collapsed(line: Line, kind: str, training: TrainingConfig, health: HealthConfig) -> bool:
    if "monitor" not in line or line["monitor"][f"{kind}_share"] >= health.min_share:
        return False
    # While the networks do not see the class, or have only begun to, classes are the same by design.
    judged_from = health.grace_kimg + (training.transition.end_kimg if kind == "class" else 0.0)
    return bool(line["seen_images"] >= judged_from * 1000)
