"""The training loop when something breaks: rolled back, tried again, given up; and the journals of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import gan.trainer
from gan.checkpoint import load_checkpoint
from gan.config import NetworkConfig, TrainingConfig
from gan.monitor_config import HealthConfig, MonitorConfig
from gan.trainer import GanTrainer, StepMetrics
from synthface.core.errors import SynthfaceError
from synthface.data import FaceSet
from synthface.workflows import train_gan

NETWORK = NetworkConfig(resolution=8, z_dim=8, w_dim=8, channel_max=8)
TRAINING = TrainingConfig(batch=8, micro_batch=4, compile=False)


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture has tests of its own, and takes longer than the training."""
    monkeypatch.setattr("synthface.report.training_curves.plot_training_curves", lambda *_, **__: None)


def _options(faces: Path, out: Path, **changes: Any) -> train_gan.Options:
    settings = {
        "network": NETWORK,
        "training": TRAINING,
        "kimg": 0.048,
        "tick_kimg": 0.008,
        "monitor": MonitorConfig(ticks=1, classes=4, per_class=2),
        "health": HealthConfig(grace_kimg=1000),
        **changes,
    }
    return train_gan.Options(faces=faces, out=out, **settings)


def _lines(out: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / name).read_text().splitlines()]


class _Breaks(GanTrainer):
    """Yields NaN, as if diverged, in the third step of the first attempt."""

    def step(self) -> StepMetrics:
        metrics = super().step()
        if self.step_index == 3 and self.source.seed == 0:
            with torch.no_grad():
                next(self.G.parameters()).fill_(torch.nan)
            metrics.loss_generator = float("nan")
        return metrics


def test_it_goes_back_to_the_last_good_checkpoint_and_on(
    tiny_faceset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gan.trainer, "GanTrainer", _Breaks)
    out = tmp_path / "run"
    options = _options(tiny_faceset, out, monitor=MonitorConfig(ticks=2, classes=4, per_class=2))
    train_gan.run(options)
    (event,) = _lines(out, "events.jsonl")
    assert (event["event"], event["name"], event["attempt"]) == ("rollback", "not-finite", 1)
    assert (event["step"], event["to_step"], event["learning_rate_factor"]) == (3, 2, 0.5)
    assert "--training.learning_rate" in event["remedy"]
    lines = _lines(out)
    assert [line["step"] for line in lines] == list(range(1, 7))
    assert ["monitor" in line for line in lines] == [False, True] * 3
    state = load_checkpoint(out, settings=train_gan.settings_hash(options, FaceSet.load(tiny_faceset)))
    assert state is not None
    assert state["progress"]["attempt"] == 1
    rate = state["trainer"]["optimizer_G"]["param_groups"][0]["lr"]
    assert rate == pytest.approx(TRAINING.learning_rate / 2)
    assert all(torch.isfinite(weight).all() for weight in state["trainer"]["G"].values())


def test_a_run_killed_after_a_rollback_resumes_to_the_same_end(
    tiny_faceset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gan.trainer, "GanTrainer", _Breaks)
    train_gan.run(_options(tiny_faceset, tmp_path / "whole"))
    train_gan.run(_options(tiny_faceset, tmp_path / "parts", kimg=0.032))
    train_gan.run(_options(tiny_faceset, tmp_path / "parts", resume=True))
    weights = [(tmp_path / run / "generator.safetensors").read_bytes() for run in ("whole", "parts")]
    assert weights[0] == weights[1]
    assert len(_lines(tmp_path / "parts", "events.jsonl")) == 1


def test_it_gives_up_after_so_many_rollbacks(tiny_faceset: Path, tmp_path: Path) -> None:
    broken = TrainingConfig(batch=8, micro_batch=4, compile=False, learning_rate=1e30)
    options = _options(tiny_faceset, tmp_path / "run", training=broken, health=HealthConfig(max_rollbacks=2))
    with pytest.raises(SynthfaceError, match=r"not-finite.*after 2 rollbacks.*lower --training.learning_rate"):
        train_gan.run(options)
    events = [event["event"] for event in _lines(tmp_path / "run", "events.jsonl")]
    assert events == ["rollback", "rollback", "stop"]
    assert sorted(path.suffix for path in (tmp_path / "run").iterdir() if path.suffix == ".pt") == [".pt", ".pt"]


def _ignoring(what: str) -> type[GanTrainer]:
    """A trainer whose generator never learns to look at the seed, or at the class."""

    class Ignores(GanTrainer):
        def step(self) -> StepMetrics:
            metrics = super().step()
            z_dim = self.G.mapping.z_dim
            columns = slice(0, z_dim) if what == "seed" else slice(z_dim, None)
            for network in (self.G, self.G_ema):
                network.mapping.layers[0].weight.data[:, columns] = 0
            return metrics

    return Ignores


@pytest.mark.parametrize("what", ["seed", "class"])
def test_conditional_collapse_is_named(
    what: str, tiny_faceset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gan.trainer, "GanTrainer", _ignoring(what))
    health = HealthConfig(grace_kimg=0.02, max_rollbacks=1)
    with pytest.raises(SynthfaceError, match=f"{what}-collapse"):
        train_gan.run(_options(tiny_faceset, tmp_path / "run", health=health))
    rollback, stop = _lines(tmp_path / "run", "events.jsonl")
    # Judged from 20 images on: the second measurement after that decides, and only the one before them was good.
    assert (rollback["name"], rollback["step"], rollback["to_step"]) == (f"{what}-collapse", 4, 2)
    assert stop["event"] == "stop"
    assert rollback["monitor"][f"{what}_share"] < 0.1


class _RunsAway(GanTrainer):
    """Tells real images from generated ones without effort from the third step on."""

    def step(self) -> StepMetrics:
        metrics = super().step()
        if self.step_index >= 3:
            metrics.score_real = 1e6
        return metrics


def test_nobody_goes_back_into_a_runaway(tiny_faceset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gan.trainer, "GanTrainer", _RunsAway)
    with pytest.raises(SynthfaceError, match="runaway-discriminator"):
        train_gan.run(_options(tiny_faceset, tmp_path / "run", health=HealthConfig(grace_kimg=1000, patience=3)))
    events = _lines(tmp_path / "run", "events.jsonl")
    assert {event["name"] for event in events} == {"runaway-discriminator"}
    assert {event["to_step"] for event in events[:-1]} == {2}, "from step 3 on nothing was good"


def test_measuring_does_not_change_the_training(tiny_faceset: Path, tmp_path: Path) -> None:
    train_gan.run(_options(tiny_faceset, tmp_path / "with"))
    train_gan.run(_options(tiny_faceset, tmp_path / "without", monitor=MonitorConfig(ticks=0)))
    weights = [(tmp_path / run / "generator.safetensors").read_bytes() for run in ("with", "without")]
    assert weights[0] == weights[1]
    assert not any("monitor" in line for line in _lines(tmp_path / "without"))
    assert not (tmp_path / "with" / "events.jsonl").exists()
