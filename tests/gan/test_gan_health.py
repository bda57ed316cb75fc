"""What counts as failed: each failure by name, and no alarm in a healthy run."""

import copy
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gan.config import AdaConfig, NetworkConfig, TrainingConfig, TransitionConfig
from gan.monitor_config import HealthConfig, MonitorConfig
from gan.training.batches import BatchSource
from gan.training.health import diagnose, suspicion, suspicion_at_end, weights_are_finite
from gan.training.retry import begin_attempt
from gan.training.trainer import GanTrainer
from synthface.core.errors import ConfigError

RUNS = Path(__file__).resolve().parents[2] / "docs/runs"
TRAINING, HEALTH = TrainingConfig(), HealthConfig()
FIXED = TrainingConfig(ada=AdaConfig(mode="fixed", start=0.2))
TRANSITION = TrainingConfig(transition=TransitionConfig(end_kimg=100))


def _line(kimg: float, **changes: Any) -> dict[str, Any]:
    healthy = {"loss_generator": 1.5, "loss_discriminator": 1.1, "score_real": 0.7, "score_fake": -0.6, "r1": None}
    return {**healthy, "seen_images": round(kimg * 1000), "ada_p": 0.1, "r_t": 0.5, "finite_weights": True, **changes}


def _measured(kimg: float, *, seed: float = 1.3, class_: float = 0.7) -> dict[str, Any]:
    return _line(kimg, monitor={"seed_share": seed, "class_share": class_})


def _name(lines: list[dict[str, Any]], training: TrainingConfig = TRAINING, **health: Any) -> str | None:
    finding = diagnose(lines, training, replace(HEALTH, **health))
    return finding.name if finding else None


@pytest.mark.parametrize(
    ("name", "measured"), [("lfw64-60min", False), ("lfw64-continued", True), ("lfw64-annealed", True)]
)
def test_recorded_healthy_runs_raise_no_alarm(name: str, measured: bool) -> None:
    lines = [json.loads(line) for line in (RUNS / f"{name}.jsonl").read_text().splitlines()]
    assert len(lines) > 20
    assert any("monitor" in line for line in lines) is measured
    assert {diagnose(lines[: n + 1], TRAINING, HEALTH) for n in range(len(lines))} == {None}
    assert not any(suspicion(line, TRAINING, HEALTH) for line in lines)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_losses_that_are_no_numbers(value: float) -> None:
    finding = diagnose([_line(2), _line(4, loss_generator=value)], TRAINING, HEALTH)
    assert finding is not None
    assert (finding.name, "loss_generator" in finding.what) == ("not-finite", True)
    assert "--training.learning_rate" in finding.remedy


def test_weights_that_are_no_numbers() -> None:
    module = torch.nn.BatchNorm2d(3)
    assert weights_are_finite(module, torch.nn.Linear(2, 2))
    assert module.running_mean is not None
    module.running_mean[1] = math.inf
    assert not weights_are_finite(torch.nn.Linear(2, 2), module)
    assert _name([_line(2, finite_weights=False)]) == "not-finite"


@pytest.mark.parametrize(
    ("training", "p", "r_t", "expected"),
    [
        (FIXED, 0.2, 0.97, "runaway-discriminator"),
        (FIXED, 0.2, 0.94, None),
        (TRAINING, 1.0, 0.97, "runaway-discriminator"),
        (TRAINING, 0.7, 0.97, None),  # p can still rise
        (TRAINING, 1.0, 0.8, None),  # p at its limit, but the discriminator is not sure of itself
    ],
)
def test_r_t_that_stays_high(training: TrainingConfig, p: float, r_t: float, expected: str | None) -> None:
    lines = [_line(kimg, ada_p=p, r_t=r_t) for kimg in range(2, 62, 2)]
    assert _name(lines, training) == expected
    assert _name(lines[:24], training) is None, "not for long enough"
    assert _name([*lines[:-3], _line(56), *lines[-2:]], training) is None, "one dip is not staying"


def test_scores_far_apart() -> None:
    far = {"score_real": 40.0, "score_fake": -30.0}
    assert _name([_line(2), _line(4, **far), _line(6, **far)]) == "runaway-discriminator"
    assert _name([_line(2), _line(4, **far), _line(6)]) is None
    assert _name([_line(2, **far)]) is None, "once is not enough"


@pytest.mark.parametrize(("shares", "name"), [({"seed": 0.02}, "seed-collapse"), ({"class_": 0.02}, "class-collapse")])
def test_collapse_needs_two_measurements_in_a_row(shares: dict[str, float], name: str) -> None:
    lines = [_measured(10), _line(12), _measured(20, **shares), _line(22), _measured(30, **shares)]
    assert [_name(lines[: n + 1]) for n in range(5)] == [None, None, None, None, name]
    assert _name([*lines, _line(32)]) is None, "only a new measurement decides"
    assert _name([*lines[:3], _measured(25), lines[-1]]) is None
    found = [suspicion(line, TRAINING, HEALTH) for line in lines]
    assert [finding and finding.name for finding in found] == [None, None, name, None, name]


def _on_an_end(line: dict[str, Any], extra: str = "measurement") -> dict[str, Any]:
    return {**line, "extra": extra}


def test_what_an_end_of_the_run_brought_about_is_no_evidence() -> None:
    good, bad = _measured(50), _measured(60, seed=0.02)
    stopped = _on_an_end(_measured(52, seed=0.02))
    assert _name([good, stopped, bad]) is None, "as without a pause"
    assert _name([good, bad, _on_an_end(_measured(62, seed=0.02))]) is None, "not due"
    assert _name([bad, _on_an_end(_measured(62)), _measured(70, seed=0.02)]) == "seed-collapse", "no acquittal either"
    far = {"score_real": 40.0, "score_fake": -30.0}
    within = _on_an_end(_line(51, **far), "tick")
    assert _name([_line(50), within, _line(52, **far)]) is None
    assert _name([_line(50, **far), within]) is None
    assert _name([_line(50, **far), _on_an_end(_line(51), "tick"), _line(52, **far)]) == "runaway-discriminator"
    assert _name([_line(50, **far), _on_an_end(_measured(52)) | far]) == "runaway-discriminator", "a tick as any other"
    assert _name([_line(50), _on_an_end(_line(51, loss_generator=math.nan), "tick")]) == "not-finite"


def test_an_end_is_suspect_by_its_line_or_its_last_measurement() -> None:
    def name(*lines: dict[str, Any]) -> str | None:
        finding = suspicion_at_end(lines, TRAINING, HEALTH)
        return finding and finding.name

    assert name() is None
    assert name(_measured(20, seed=0.0), _measured(30)) is None
    assert name(_measured(20), _on_an_end(_measured(22, class_=0.0))) == "class-collapse"
    assert name(_measured(20, seed=0.0), _line(22)) == "seed-collapse", "nothing has shown that it is over"
    assert name(_measured(20), _line(22, score_real=90.0)) == "runaway-discriminator"
    finding = suspicion_at_end([_line(22, ada_p=1.0, r_t=0.97)], TRAINING, HEALTH)
    assert finding is not None
    assert (finding.what, "--training.r1_gamma" in finding.remedy) == ("r_t is 0.97 (p 1.00)", True)


def test_collapse_is_not_judged_at_the_beginning_nor_before_the_classes_are_shown() -> None:
    def lines(*kimg: float) -> list[dict[str, Any]]:
        return [_measured(at, class_=0.0) for at in kimg]

    assert _name(lines(2, 4)) is None
    assert _name(lines(12, 14)) == "class-collapse"
    assert _name(lines(80, 105), TRANSITION) is None
    assert _name(lines(110, 120), TRANSITION) == "class-collapse"
    assert _name([_measured(at, seed=0.0) for at in (20, 30)], TRANSITION) == "seed-collapse"


def _trainer() -> GanTrainer:
    network = NetworkConfig(resolution=8, z_dim=4, w_dim=4, channel_base=32, channel_max=8)
    training = TrainingConfig(batch=8, micro_batch=4, r1_interval=2, compile=False)
    pixels = np.random.default_rng(0).integers(0, 255, (20, 8, 8, 3), dtype=np.uint8)
    source = BatchSource(pixels, np.repeat(np.arange(4), 5), training, seed=1)
    fabric: Any = SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1)
    return GanTrainer(network, training, 4, source, fabric, seed=1)


def _rates(trainer: GanTrainer) -> list[float]:
    return [group["lr"] for optimizer in (trainer.optimizer_G, trainer.optimizer_D) for group in optimizer.param_groups]


def test_an_attempt_has_other_seeds_and_half_the_rates_and_survives_a_resume() -> None:
    trainer = _trainer()
    trainer.step()
    good, rates = copy.deepcopy(trainer.state_dict()), _rates(trainer)
    begin_attempt(trainer, 0)
    trainer.step()
    assert _rates(trainer) == rates
    trainer.load_state_dict(copy.deepcopy(good))
    first = trainer.source.micro_batch(1, 0, "generator")
    begin_attempt(trainer, 2)
    assert not torch.equal(first.images, trainer.source.micro_batch(1, 0, "generator").images)
    trainer.step()
    assert _rates(trainer) == pytest.approx([rate / 4 for rate in rates])
    resumed = _trainer()
    resumed.load_state_dict(copy.deepcopy(trainer.state_dict()))
    begin_attempt(resumed, 2)
    assert vars(resumed.step()) == vars(trainer.step())
    assert _rates(resumed) == pytest.approx([rate / 4 for rate in rates])
    trainer.load_state_dict(good)
    begin_attempt(trainer, 3)
    trainer.step()
    assert _rates(trainer) == pytest.approx([rate / 8 for rate in rates])


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (MonitorConfig, {"ticks": -1}),
        (MonitorConfig, {"per_class": 1}),
        (HealthConfig, {"max_rollbacks": -1}),
        (HealthConfig, {"min_share": 1.0}),
        (HealthConfig, {"patience": 0}),
    ],
)
def test_settings_out_of_range(config: Any, changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="--"):
        config(**changes)
