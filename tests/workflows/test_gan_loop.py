"""The training loop when something breaks: rolled back, tried again, given up; and the journals of it."""

import dataclasses
import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import gan.training.trainer
from gan.config import NetworkConfig, TrainingConfig, TransitionConfig
from gan.cooldown_config import CooldownConfig
from gan.monitor_config import HealthConfig, MonitorConfig
from gan.training.checkpoint import load_checkpoint
from gan.training.trainer import GanTrainer, StepMetrics
from gan.weights import load_generator, read_header
from synthface.core.errors import ConfigError, DataError, SynthfaceError
from synthface.data import FaceSet
from synthface.workflows import train_gan
from synthface.workflows.gan_training import watch
from synthface.workflows.gan_training.first_process import on_first
from synthface.workflows.gan_training.interruption import first_interrupt_waits
from synthface.workflows.gan_training.loop import GanLoop
from synthface.workflows.gan_training.origin import Origin

NETWORK = NetworkConfig(resolution=8, z_dim=8, w_dim=8, channel_max=8)
# Runs are parted by their --kimg here, and the first part is not to cool down.
TRAINING = TrainingConfig(batch=8, micro_batch=4, compile=False, cooldown=CooldownConfig(share=0))


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


def _settings(options: train_gan.Options) -> str:
    return Origin.of(options, FaceSet.load(options.faces)).settings_hash(options)


def _lines(out: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / name).read_text().splitlines()]


class _Breaks(GanTrainer):
    """Yields NaN, as if diverged, in the third step of the first attempt."""

    def step(self, done: float = 0.0) -> StepMetrics:
        metrics = super().step(done)
        if self.step_index == 3 and self.source.seed == 0:
            with torch.no_grad():
                next(self.G.parameters()).fill_(torch.nan)
            metrics.loss_generator = float("nan")
        return metrics


def test_it_goes_back_to_the_last_good_checkpoint_and_on(
    tiny_faceset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gan.training.trainer, "GanTrainer", _Breaks)
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
    state = load_checkpoint(out, settings=_settings(options))
    assert state is not None
    assert state["progress"]["attempt"] == 1
    rate = state["trainer"]["optimizer_G"]["param_groups"][0]["lr"]
    assert rate == pytest.approx(TRAINING.learning_rate / 2)
    assert all(torch.isfinite(weight).all() for weight in state["trainer"]["G"].values())


def test_a_run_killed_after_a_rollback_resumes_to_the_same_end(
    tiny_faceset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gan.training.trainer, "GanTrainer", _Breaks)
    train_gan.run(_options(tiny_faceset, tmp_path / "whole"))
    train_gan.run(_options(tiny_faceset, tmp_path / "parts", kimg=0.032))
    train_gan.run(_options(tiny_faceset, tmp_path / "parts", resume=True))
    weights = [(tmp_path / run / "generator.safetensors").read_bytes() for run in ("whole", "parts")]
    assert weights[0] == weights[1]
    assert len(_lines(tmp_path / "parts", "events.jsonl")) == 1


def test_it_gives_up_after_so_many_rollbacks(tiny_faceset: Path, tmp_path: Path) -> None:
    broken = TrainingConfig(batch=8, micro_batch=4, compile=False, learning_rate=1e30)
    options = _options(tiny_faceset, tmp_path / "run", training=broken, health=HealthConfig(max_rollbacks=2))
    with pytest.raises(
        SynthfaceError, match=r"not-finite.*after 2 rollbacks.*max_rollbacks 5, .*--training.learning_rate"
    ):
        train_gan.run(options)
    events = [event["event"] for event in _lines(tmp_path / "run", "events.jsonl")]
    assert events == ["rollback", "rollback", "stop"]
    assert sorted(path.suffix for path in (tmp_path / "run").iterdir() if path.suffix == ".pt") == [".pt", ".pt"]


def _ignoring(what: str, after: int = 0) -> type[GanTrainer]:
    """A trainer whose generator does not look at the seed, or at the class, after so many steps."""

    class Ignores(GanTrainer):
        def step(self, done: float = 0.0) -> StepMetrics:
            metrics = super().step(done)
            if self.step_index <= after:
                return metrics
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
    monkeypatch.setattr(gan.training.trainer, "GanTrainer", _ignoring(what))
    health = HealthConfig(grace_kimg=0.02, max_rollbacks=1)
    with pytest.raises(SynthfaceError, match=f"{what}-collapse"):
        train_gan.run(_options(tiny_faceset, tmp_path / "run", health=health))
    rollback, stop = _lines(tmp_path / "run", "events.jsonl")
    # Judged from 20 images on: the second measurement after that decides, and only the one before them was good.
    assert (rollback["name"], rollback["step"], rollback["to_step"]) == (f"{what}-collapse", 4, 2)
    assert stop["event"] == "stop"
    assert rollback["monitor"][f"{what}_share"] < 0.1


def test_an_end_that_looks_collapsed_leaves_the_last_good_generator(
    tiny_faceset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    watched = {"monitor": MonitorConfig(ticks=2, classes=4, per_class=2), "health": HealthConfig(grace_kimg=0.02)}
    train_gan.run(_options(tiny_faceset, tmp_path / "good", kimg=0.032, **watched))
    assert "failure" not in capsys.readouterr().out
    monkeypatch.setattr(gan.training.trainer, "GanTrainer", _ignoring("seed", after=4))
    options = _options(tiny_faceset, out, kimg=0.04, **watched)
    for resume in (False, True):  # a run that is over, resumed, ends as it did
        train_gan.run(dataclasses.replace(options, resume=resume))
        told = capsys.readouterr().out
        assert "40 images seen, ended by --kimg 0.04" in told
        assert "the end looks like a failure (seed-collapse): the image is nearly the same for every seed" in told
        assert "the generator is the last good one, after 32 images; go on with --resume" in told
        files = [(run / "generator.safetensors").read_bytes() for run in (tmp_path / "good", out)]
        assert files[0] == files[1]
    state = load_checkpoint(out, settings=_settings(options))
    assert state is not None
    assert state["trainer"]["step"] == 5, "the training itself goes on from its end"


def test_an_end_that_looks_collapsed_after_nothing_good_says_so(
    tiny_faceset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gan.training.trainer, "GanTrainer", _ignoring("class"))
    train_gan.run(_options(tiny_faceset, tmp_path / "run", kimg=0.008, health=HealthConfig(grace_kimg=0)))
    told = capsys.readouterr().out
    assert "(class-collapse)" in told
    assert "nothing before it was found good, so the generator is that of the end: look at the samples" in told
    assert read_header(tmp_path / "run" / "generator.safetensors")["info"]["seen_images"] == 8


def test_a_stop_is_no_evidence_of_a_collapse_and_nothing_to_go_back_to(
    tiny_faceset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def good_step(out: Path) -> int:
        state = load_checkpoint(out, settings=_settings(options), good=True)
        assert state is not None
        return int(state["trainer"]["step"])

    watched = {"monitor": MonitorConfig(ticks=2, classes=4, per_class=2), "health": HealthConfig(grace_kimg=0.02)}
    options = _options(tiny_faceset, tmp_path / "parts", kimg=0.032, **watched)
    train_gan.run(dataclasses.replace(options, kimg=0.024))
    assert [line.get("extra") for line in _lines(options.out)] == [None, None, "measurement"]
    assert good_step(options.out) == 2, "as without the stop"
    monkeypatch.setattr(gan.training.trainer, "GanTrainer", _ignoring("seed"))
    train_gan.run(dataclasses.replace(options, out=tmp_path / "collapsed", kimg=0.024))
    train_gan.run(dataclasses.replace(options, out=tmp_path / "collapsed", resume=True))
    assert not (tmp_path / "collapsed" / "events.jsonl").exists(), "one measurement that was due shows it"
    assert good_step(tmp_path / "collapsed") == 2


class _RunsAway(GanTrainer):
    """Tells real images from generated ones without effort from the third step on."""

    def step(self, done: float = 0.0) -> StepMetrics:
        metrics = super().step(done)
        if self.step_index >= 3:
            metrics.score_real = 1e6
        return metrics


def test_nobody_goes_back_into_a_runaway(tiny_faceset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gan.training.trainer, "GanTrainer", _RunsAway)
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


def _stop_after(monkeypatch: pytest.MonkeyPatch, ticks: int) -> Any:
    record = GanLoop._record

    def stopping(self: GanLoop, line: dict[str, Any], grid: Any) -> None:
        record(self, line, grid)
        if line["step"] == ticks:
            raise KeyboardInterrupt

    monkeypatch.setattr(GanLoop, "_record", stopping)
    return lambda: monkeypatch.setattr(GanLoop, "_record", record)


def test_an_interruption_waits_for_the_step_and_loses_none(
    tiny_faceset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(GanTrainer):
        def step(self, done: float = 0.0) -> StepMetrics:
            if self.step_index == 2:
                signal.raise_signal(signal.SIGINT)
            return super().step(done)

    options = _options(tiny_faceset, tmp_path / "run", tick_kimg=0.016, monitor=MonitorConfig(ticks=0))
    train_gan.run(dataclasses.replace(options, out=tmp_path / "whole"))
    with monkeypatch.context() as patched:
        patched.setattr(gan.training.trainer, "GanTrainer", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_gan.run(options)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert [(line["step"], line.get("extra")) for line in _lines(options.out)] == [(2, None), (3, "tick")]
    train_gan.run(dataclasses.replace(options, resume=True))
    assert [line["step"] for line in _lines(options.out)] == [2, 3, 4, 6]
    weights = [(tmp_path / run / "generator.safetensors").read_bytes() for run in ("whole", "run")]
    assert weights[0] == weights[1]


def test_a_second_interruption_does_not_wait() -> None:
    with first_interrupt_waits() as interruption:
        signal.raise_signal(signal.SIGINT)
        assert interruption.is_wanted
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_who_ignores_interruptions_goes_on_ignoring_them() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with first_interrupt_waits() as interruption:
            signal.raise_signal(signal.SIGINT)
        assert not interruption.is_wanted
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_that_was_stopped_can_be_drawn_from_and_begun_from(
    tiny_faceset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    undo = _stop_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        train_gan.run(_options(tiny_faceset, out))
    undo()
    assert load_generator(out).n_classes == 4
    assert read_header(out / "generator.safetensors")["info"]["seen_images"] == 16
    train_gan.run(_options(tiny_faceset, tmp_path / "next", init=out, kimg=0.008))
    assert read_header(tmp_path / "next" / "generator.safetensors")["info"]["seen_images_before"] == 16


def test_what_init_names_may_go_away_meanwhile(
    tiny_faceset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_gan.run(_options(tiny_faceset, tmp_path / "first", kimg=0.008))
    begin = GanLoop.run

    def move_and_run(self: GanLoop) -> None:
        (tmp_path / "first").rename(tmp_path / "elsewhere")
        begin(self)

    monkeypatch.setattr(GanLoop, "run", move_and_run)
    train_gan.run(_options(tiny_faceset, tmp_path / "second", init=tmp_path / "first", kimg=0.008))
    assert "begun_from_sha256" in read_header(tmp_path / "second" / "generator.safetensors")["info"]


@pytest.mark.parametrize("what", ["checkpoint", "generator"])
def test_a_run_under_way_needs_nothing_from_what_it_began_from(what: str, tiny_faceset: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    train_gan.run(_options(tiny_faceset, first, kimg=0.016))
    init = first if what == "checkpoint" else first / "generator.safetensors"
    train_gan.run(_options(tiny_faceset, tmp_path / "whole", init=init))
    train_gan.run(_options(tiny_faceset, tmp_path / "parts", init=init, kimg=0.016))
    train_gan.run(_options(tiny_faceset, first, kimg=0.032, resume=True))  # it goes on, ...
    train_gan.run(_options(tiny_faceset, tmp_path / "parts", init=init, kimg=0.032, resume=True))
    first.rename(tmp_path / "elsewhere")  # ... and away
    train_gan.run(_options(tiny_faceset, tmp_path / "parts", init=init, kimg=0.04, resume=True))
    train_gan.run(_options(tiny_faceset, tmp_path / "parts", resume=True))
    weights = [(tmp_path / run / "generator.safetensors").read_bytes() for run in ("whole", "parts")]
    assert weights[0] == weights[1]
    assert read_header(tmp_path / "parts" / "generator.safetensors")["info"]["seen_images_before"] == 16


def test_a_run_without_a_checkpoint_has_not_begun_from_anything_yet(
    tiny_faceset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_gan.run(_options(tiny_faceset, tmp_path / "first", kimg=0.008))
    begun = _options(tiny_faceset, tmp_path / "second", init=tmp_path / "first", kimg=0.008)

    def killed(self: GanLoop) -> None:
        raise KeyboardInterrupt

    keep = GanLoop._keep_beginning
    monkeypatch.setattr(GanLoop, "_keep_beginning", killed)
    with pytest.raises(KeyboardInterrupt):
        train_gan.run(begun)
    monkeypatch.setattr(GanLoop, "_keep_beginning", keep)
    with pytest.raises(ConfigError, match="has no checkpoint yet; give its --init again"):
        train_gan.run(dataclasses.replace(begun, init=None, resume=True))
    train_gan.run(dataclasses.replace(begun, resume=True))
    train_gan.run(dataclasses.replace(begun, out=tmp_path / "at once"))
    weights = [(tmp_path / run / "generator.safetensors").read_bytes() for run in ("second", "at once")]
    assert weights[0] == weights[1]


def test_a_run_that_began_from_nothing_takes_no_init_later(tiny_faceset: Path, tmp_path: Path) -> None:
    for run in ("first", "second"):
        train_gan.run(_options(tiny_faceset, tmp_path / run, kimg=0.008))
    with pytest.raises(ConfigError, match="it had the init's hash None"):
        train_gan.run(_options(tiny_faceset, tmp_path / "second", init=tmp_path / "first", resume=True))


@pytest.mark.parametrize("is_first", [True, False])
def test_the_other_processes_hear_of_a_failure_in_the_first(is_first: bool) -> None:
    told: list[str | None] = []

    def broadcast(message: str | None) -> str | None:
        told.append(message if is_first else "OSError: no room")
        return told[-1]

    def fails(where: str, *, how: str) -> None:
        raise OSError(f"{how} {where}")

    expected = pytest.raises(OSError, match="no room") if is_first else pytest.raises(SynthfaceError, match="no room")
    with expected:
        on_first(SimpleNamespace(is_global_zero=is_first, broadcast=broadcast), fails, "room", how="no")
    assert told == ["OSError: no room"]
    fabric = SimpleNamespace(is_global_zero=is_first, broadcast=lambda _: None)
    assert on_first(fabric, max, 1, 2) == (2 if is_first else None)


def test_what_cannot_be_measured_is_said_before_anything_is_embedded(
    write_faceset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embedded(*_: Any, **__: Any) -> None:
        raise AssertionError("the set was embedded")

    monkeypatch.setattr(watch, "embed_faceset", embedded)
    faces = write_faceset(tmp_path / "two", n_identities=2, per_identity=8, size=16)
    with pytest.raises(DataError, match=r"--faces .*two: 2 identities have 2 images.*--monitor\.ticks 0"):
        train_gan.run(_options(faces, tmp_path / "run"))


def test_other_settings_are_named_before_anything_is_computed(tiny_faceset: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train_gan.run(_options(tiny_faceset, out, kimg=0.008))
    other = TrainingConfig(batch=8, micro_batch=4, compile=False, r1_gamma=0.5, cooldown=TRAINING.cooldown)
    expected = rf"settings: it had --training\.r1_gamma {TRAINING.r1_gamma} \(now 0\.5\); repeat those to resume"
    with pytest.raises(ConfigError, match=expected):
        train_gan.run(_options(tiny_faceset, out, training=other, resume=True))
    with pytest.raises(ConfigError, match=r"--seed 0 \(now 3\)"):
        train_gan.run(_options(tiny_faceset, out, seed=3, resume=True))
    (out / "run.json").unlink()
    with pytest.raises(ConfigError, match="with other settings, seed or faces; repeat"):
        train_gan.run(_options(tiny_faceset, out, seed=3, resume=True))


def test_a_damaged_checkpoint_gives_way_to_the_last_good_one(
    tiny_faceset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"monitor": MonitorConfig(ticks=2, classes=4, per_class=2)}
    train_gan.run(_options(tiny_faceset, tmp_path / "whole", **settings))
    train_gan.run(_options(tiny_faceset, tmp_path / "parts", kimg=0.016, **settings))
    (tmp_path / "parts" / "checkpoint.pt").unlink()  # a link to the good one
    (tmp_path / "parts" / "checkpoint.pt").write_bytes(b"torn")
    train_gan.run(_options(tiny_faceset, tmp_path / "parts", resume=True, **settings))
    assert "taking checkpoint-good.pt" in caplog.text
    weights = [(tmp_path / run / "generator.safetensors").read_bytes() for run in ("whole", "parts")]
    assert weights[0] == weights[1]
    (tmp_path / "parts" / "checkpoint.pt").unlink()
    train_gan.run(_options(tiny_faceset, tmp_path / "parts", resume=True, **settings))
    assert "checkpoint.pt is missing; taking checkpoint-good.pt" in caplog.text
    assert (tmp_path / "parts" / "generator.safetensors").read_bytes() == weights[0]


def test_a_run_that_ended_within_its_transition_keeps_its_generator(tiny_faceset: Path, tmp_path: Path) -> None:
    half_way = dataclasses.replace(TRAINING, transition=TransitionConfig(end_kimg=0.1))
    options = _options(tiny_faceset, tmp_path / "run", training=half_way, kimg=0.024)
    train_gan.run(options)
    before = (tmp_path / "run" / "generator.safetensors").read_bytes()
    assert read_header(tmp_path / "run" / "generator.safetensors")["class_strength"] == pytest.approx(0.16)
    train_gan.run(dataclasses.replace(options, resume=True))
    assert (tmp_path / "run" / "generator.safetensors").read_bytes() == before


def test_a_stop_within_a_tick_moves_no_measurement(
    tiny_faceset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"tick_kimg": 0.016, "monitor": MonitorConfig(ticks=2, classes=4, per_class=2)}
    train_gan.run(_options(tiny_faceset, tmp_path / "parts", kimg=0.024, **settings))  # one tick and a half
    train_gan.run(_options(tiny_faceset, tmp_path / "parts", kimg=0.08, resume=True, **settings))
    measured = [line["seen_images"] for line in _lines(tmp_path / "parts") if "monitor" in line]
    assert measured == [24, 32, 64, 80]  # both ends, and every second tick
