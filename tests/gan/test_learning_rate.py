"""The rate of a step: full, falling before the end, halved by rollbacks; exactly resumed in the middle of it."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gan.config import NetworkConfig, TrainingConfig
from gan.cooldown_config import CooldownConfig
from gan.training.batches import BatchSource
from gan.training.retry import begin_attempt
from gan.training.trainer import GanTrainer
from synthface.core.errors import ConfigError

NETWORK = NetworkConfig(resolution=8, z_dim=4, w_dim=4, channel_base=32, channel_max=8)
TRAINING = TrainingConfig(
    batch=8, micro_batch=4, r1_interval=2, compile=False, cooldown=CooldownConfig(share=0.5, end=0.2)
)


def _trainer(training: TrainingConfig = TRAINING) -> GanTrainer:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 8, 8, 3), dtype=np.uint8)
    source = BatchSource(pixels, np.repeat(np.arange(4), 5), training, seed=1)
    fabric = SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1)
    return GanTrainer(NETWORK, training, 4, source, fabric, seed=1)


def _rates(trainer: GanTrainer) -> list[float]:
    return [optimizer.param_groups[0]["lr"] for optimizer in (trainer.optimizer_G, trainer.optimizer_D)]


def test_the_factor_falls_linearly_in_the_last_share() -> None:
    cooldown = CooldownConfig(share=0.25, end=0.2)
    factors = [cooldown.factor(done) for done in (0, 0.75, 0.8, 0.875, 1, 1.5)]
    assert factors == pytest.approx([1, 1, 0.84, 0.6, 0.2, 0.2])


@pytest.mark.parametrize("end", [0.0, 0.2])
def test_without_a_share_it_never_falls(end: float) -> None:
    assert {CooldownConfig(share=0, end=end).factor(done) for done in (0, 0.5, 1, 2)} == {1.0}


@pytest.mark.parametrize("name", ["share", "end"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused_by_its_flag(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"--training.cooldown.{name}"):
        CooldownConfig(**{name: value})


def test_both_networks_cool_down_in_proportion_and_move_less() -> None:
    trainer = _trainer()
    full = _rates(trainer)
    trainer.step(0.5)
    assert _rates(trainer) == full
    trainer.step(0.75)
    assert _rates(trainer) == pytest.approx([0.6 * rate for rate in full])
    hot, cold = _trainer(), _trainer()
    hot.step(0.0)
    cold.step(1.0)
    before = _trainer().D.state_dict()
    moved = [
        sum((network.D.state_dict()[name] - weight).abs().sum().item() for name, weight in before.items())
        for network in (hot, cold)
    ]
    assert moved[1] == pytest.approx(0.2 * moved[0], rel=0.05)


def test_more_of_a_finished_run_is_at_the_full_rate_again() -> None:
    trainer = _trainer()
    full = _rates(trainer)
    trainer.step(1.0)
    resumed = _trainer()
    resumed.load_state_dict(copy.deepcopy(trainer.state_dict()))
    begin_attempt(resumed, 0)
    resumed.step(0.3)
    assert _rates(resumed) == full


def test_a_rollback_halves_what_the_cooldown_falls_from() -> None:
    trainer = _trainer()
    full = _rates(trainer)
    trainer.step(0.75)
    state = copy.deepcopy(trainer.state_dict())
    trainer.load_state_dict(state)
    begin_attempt(trainer, 1)
    trainer.step(0.75)
    assert _rates(trainer) == pytest.approx([0.3 * rate for rate in full])
    trainer.step(0.0)
    assert _rates(trainer) == pytest.approx([0.5 * rate for rate in full])


def test_resumed_within_the_cooldown_it_is_the_same_run() -> None:
    shares = [0.5, 0.6, 0.7, 0.8]
    whole, first, second = _trainer(), _trainer(), _trainer()
    losses = [vars(whole.step(done)) for done in shares]
    for done in shares[:2]:
        first.step(done)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    begin_attempt(second, 0)
    assert [vars(second.step(done)) for done in shares[2:]] == losses[2:]
    assert _rates(second) == _rates(whole)


def test_a_checkpoint_from_before_there_was_a_cooldown_keeps_its_rate() -> None:
    trainer = _trainer()
    full = _rates(trainer)
    state = copy.deepcopy(trainer.state_dict())
    for name in ("optimizer_G", "optimizer_D"):
        for group in state[name]["param_groups"]:
            group.pop("initial_lr", None)
    trainer.load_state_dict(state)
    trainer.step(1.0)
    assert _rates(trainer) == pytest.approx([0.2 * rate for rate in full])
