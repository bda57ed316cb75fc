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
            and the last one "finite_weights". "extra" marks what an end of the run brought about: "tick" a line within
            a tick, "measurement" a measurement that was not due. Neither is evidence, or a run that was interrupted
            would be judged otherwise than the same run without a pause.
        training: the run's settings: what counts depends on the transition and on the mode of augmentation.
        health: the limits.
    """
    return _not_finite(lines[-1]) or _runaway(lines, training, health) or _collapse(lines, training, health)


def suspicion(line: Line, training: TrainingConfig, health: HealthConfig) -> Finding | None:
    """Return the failure that a line looks like, which is not certain yet: no checkpoint to go back to."""
    if _score_gap(line) > health.max_score_gap:
        return _runs_away(f"mean scores of real and generated images lie {_score_gap(line):.0f} apart")
    if _is_overconfident(line, training, health):
        return _runs_away(f"r_t is {line['r_t']:.2f} (p {line['ada_p']:.2f})")
    collapsed = (kind for kind in _COLLAPSES if _has_collapsed(line, kind, training, health))
    return next((_collapse_of(kind, line) for kind in collapsed), None)


def suspicion_at_end(lines: Sequence[Line], training: TrainingConfig, health: HealthConfig) -> Finding | None:
    """Return the failure that a run's last line, or its last measurement, looks like: no generator to publish."""
    measured = [line for line in lines if "monitor" in line]
    ends = (suspicion(line, training, health) for line in (*lines[-1:], *measured[-1:]))
    return next(filter(None, ends), None)


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
    if lines[-1].get("extra") == "tick":
        return None
    ticks = [line for line in lines if line.get("extra") != "tick"]
    recent = ticks[-health.patience :]
    gap = min(map(_score_gap, recent))
    if len(recent) == health.patience and gap > health.max_score_gap:
        return _runs_away(f"mean scores of real and generated images lie {gap:.0f} apart")
    began = lines[-1]["seen_images"] - health.runaway_kimg * 1000
    window = [line for line in ticks if line["seen_images"] > began]
    if began < 0 or not all(_is_overconfident(line, training, health) for line in window):
        return None
    p = lines[-1]["ada_p"]
    return _runs_away(f"r_t stayed above {health.max_r_t} for {health.runaway_kimg:g} kimg (p {p:.2f})")


def _runs_away(what: str) -> Finding:
    remedy = "a higher --training.r1_gamma, a lower --training.learning_rate, or --training.ada.mode adaptive"
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
    measured = [line for line in lines if _is_measured(line)][-health.patience :]
    if len(measured) < health.patience or not _is_measured(lines[-1]):
        return None
    for kind in _COLLAPSES:
        if all(_has_collapsed(line, kind, training, health) for line in measured):
            return _collapse_of(kind, lines[-1], f", in {health.patience} measurements")
    return None


def _is_measured(line: Line) -> bool:
    """Say whether a line has a measurement that would be there if the run had not been interrupted."""
    return "monitor" in line and "extra" not in line


def _collapse_of(kind: str, line: Line, how_often: str = "") -> Finding:
    share = line["monitor"][f"{kind}_share"]
    what = f"the image is nearly the same for every {kind}: images differ by {share:.1%} of what real ones do"
    return Finding(f"{kind}-collapse", what + how_often, _COLLAPSES[kind])


def _has_collapsed(line: Line, kind: str, training: TrainingConfig, health: HealthConfig) -> bool:
    if "monitor" not in line or line["monitor"][f"{kind}_share"] >= health.min_share:
        return False
    # While the networks do not see the class, or have only begun to, classes are the same by design.
    judged_from = health.grace_kimg + (training.transition.end_kimg if kind == "class" else 0.0)
    return bool(line["seen_images"] >= judged_from * 1000)
