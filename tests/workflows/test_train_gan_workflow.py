"""train-gan as a command: killed and resumed, on several processes, and refusing what does not fit."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gan.config import TrainingConfig, TransitionConfig
from gan.cooldown_config import CooldownConfig
from gan.monitor_config import MonitorConfig
from gan.training.health import Finding
from gan.weights import FILE_NAME, load_generator, read_header
from synthface.cli import parse_options
from synthface.core.errors import ConfigError, DataError, WeightsError
from synthface.workflows import generate, train_gan
from synthface.workflows.gan_training.ending import Ending, describe_ending

TINY = ["--network.resolution", "8", "--network.z_dim", "8", "--network.w_dim", "8", "--network.channel_max", "8"]
TINY += ["--training.batch", "8", "--training.micro_batch", "4", "--training.compile", "false"]
COUNTED = {"precision", "recall", "density", "coverage", "eer", "fisher_ratio"}
TIMES = ("seconds", "images_per_second", "last")


def _command(faces: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "synthface", "train-gan", "--faces", str(faces), "--out", str(out), *TINY, *more]


def _metrics(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.get("monitor", {}).pop("seconds", None)
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_uninterrupted_run(tiny_faceset: Path, tmp_path: Path) -> None:
    length = ["--kimg", "1.6", "--tick-kimg", "0.16", "--snapshot-ticks", "4"]
    subprocess.run(_command(tiny_faceset, tmp_path / "whole", *length), check=True, capture_output=True, timeout=1200)
    process = subprocess.Popen(_command(tiny_faceset, tmp_path / "killed", *length), stderr=subprocess.DEVNULL)
    metrics = tmp_path / "killed" / "metrics.jsonl"
    deadline = time.monotonic() + 1200
    while time.monotonic() < deadline and not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 3):
        time.sleep(0.01)
    assert process.poll() is None, "it ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with metrics.open("ab") as stream:
        stream.write(b'{"step": 99999, "torn')
    resume = _command(tiny_faceset, tmp_path / "killed", *length, "--resume")
    subprocess.run(resume, check=True, capture_output=True, timeout=1200)
    assert len(_metrics(tmp_path / "whole")) == 10
    assert _metrics(tmp_path / "killed") == _metrics(tmp_path / "whole")
    generators = [(tmp_path / run / "generator.safetensors").read_bytes() for run in ("killed", "whole")]
    assert generators[0] == generators[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "then", "more"),
    [("2", "1", []), ("1", "2", ["--training.identity.form", "centre"])],
    ids=["two, then one", "one, then two, with an identity player"],
)
def test_resumed_on_another_number_of_processes_it_is_the_run_on_one(
    tiny_faceset: Path, tmp_path: Path, first: str, then: str, more: list[str]
) -> None:
    # Everything that is drawn or averaged over a step takes part; an adaptive p would hardly leave 0 in so few images.
    drawn = ["--training.ada.mode", "fixed", "--training.ada.start", "0.6", "--training.path_length.weight", "2"]
    drawn += ["--training.transition.end_kimg", "0.1", "--training.cooldown.share", "0"]  # the first half is no end
    length = ["--tick-kimg", "0.032", "--monitor.ticks", "2", *drawn, *more]
    half, whole = ["--kimg", "0.064"], ["--kimg", "0.128"]
    runs = [
        _command(tiny_faceset, tmp_path / "one", *length, *whole),
        _command(tiny_faceset, tmp_path / "changed", *length, *half, "--devices", first),
        _command(tiny_faceset, tmp_path / "changed", *length, *whole, "--resume", "--devices", then),
    ]
    for command in runs:
        subprocess.run(command, check=True, capture_output=True, timeout=1200)
    one, changed = _metrics(tmp_path / "one"), _metrics(tmp_path / "changed")
    assert len(one) == len(changed) == 4
    for alone, shared in zip(one, changed, strict=True):
        alone.update(alone.pop("monitor", {}))
        shared.update(shared.pop("monitor", {}))
        assert alone.keys() == shared.keys()
        for name, value in alone.items():
            # A figure of the monitor counts images; rounding may tip one of them over a threshold.
            tolerance = {"rel": 2e-2, "abs": 2e-2} if name in COUNTED else {"rel": 1e-3, "abs": 1e-3}
            assert value == (None if value is None else pytest.approx(shared[name], **tolerance)), name
    weights = [load_generator(tmp_path / run).state_dict() for run in ("one", "changed")]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        # As a whole: Adam moves a weight whose gradient is nearly 0 by the sign of a rounding error.
        assert (weights[1][name] - weight).norm() <= 1e-3 * weight.norm() + 1e-5, name


@pytest.mark.slow
def test_a_failure_on_two_processes_ends_in_one_line(tiny_faceset: Path, tmp_path: Path) -> None:
    command = _command(tiny_faceset, tmp_path / "run", "--kimg", "0.1", "--devices", "2", "--health.max_rollbacks", "1")
    command += ["--training.learning_rate", "1e30"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert result.returncode == 3
    assert "Traceback" not in result.stderr
    assert "training failed (not-finite)" in result.stderr
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["rollback", "stop"]


def _options(faces: Path, out: Path, **changes: Any) -> train_gan.Options:
    from gan.config import NetworkConfig

    network = NetworkConfig(resolution=8, z_dim=8, w_dim=8, channel_max=8)
    training = TrainingConfig(batch=8, micro_batch=4, compile=False)
    settings = {"network": network, "training": training, "kimg": 0.016, "tick_kimg": 0.008, **changes}
    return train_gan.Options(faces=faces, out=out, **settings)


@pytest.fixture
def _no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing them takes longer than the training."""
    monkeypatch.setattr("synthface.report.training_curves.plot_training_curves", lambda *_, **__: None)


def test_a_run_leaves_what_it_says(tiny_faceset: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train_gan.run(_options(tiny_faceset, out))
    assert {path.name for path in out.iterdir()} == {
        "checkpoint.pt",
        "checkpoint-good.pt",
        "curves.png",
        "generator.safetensors",
        "metrics.jsonl",
        "run.json",
        "samples",
    }
    G = load_generator(out)
    assert (G.n_classes, G.resolution) == (4, 8)
    header = (out / "generator.safetensors").read_bytes()[:4000]
    assert b"p0" not in header, "names of identities must not go into the generator"
    with pytest.raises(ConfigError, match="--resume"):
        train_gan.run(_options(tiny_faceset, out))
    with pytest.raises(ConfigError, match="other settings"):
        train_gan.run(_options(tiny_faceset, out, resume=True, seed=1))


@pytest.mark.usefixtures("_no_curves")
def test_a_longer_run_goes_on(tiny_faceset: Path, tmp_path: Path) -> None:
    train_gan.run(_options(tiny_faceset, tmp_path / "run"))
    train_gan.run(_options(tiny_faceset, tmp_path / "run", kimg=0.032, resume=True))
    assert [line["seen_images"] for line in _metrics(tmp_path / "run")] == [8, 16, 24, 32]


@pytest.mark.usefixtures("_no_curves")
def test_the_rate_falls_in_the_last_images(tiny_faceset: Path, tmp_path: Path) -> None:
    training = TrainingConfig(batch=8, micro_batch=4, compile=False, cooldown=CooldownConfig(share=0.5, end=0.2))
    train_gan.run(_options(tiny_faceset, tmp_path / "run", kimg=0.032, training=training))
    rates = [line["learning_rate"] for line in _metrics(tmp_path / "run")]
    assert rates == pytest.approx([training.learning_rate * factor for factor in (1, 1, 1, 0.6)])


@pytest.mark.usefixtures("_no_curves")
def test_an_identity_player_takes_part_and_should_not_judge_itself(
    tiny_faceset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from gan.config import IdentityConfig, TrainingConfig

    plain = TrainingConfig(batch=8, micro_batch=4, compile=False)
    player = replace(plain, identity=IdentityConfig(form="centre"))
    train_gan.run(_options(tiny_faceset, tmp_path / "plain", training=plain))
    assert "its figures will be too good" not in caplog.text
    train_gan.run(_options(tiny_faceset, tmp_path / "player", training=player))
    assert "its figures will be too good" in caplog.text
    weights = [(tmp_path / run / "generator.safetensors").read_bytes() for run in ("plain", "player")]
    assert weights[0] != weights[1]
    assert "identity recognizer" in json.loads((tmp_path / "player" / "run.json").read_text())["inputs"]


@pytest.mark.usefixtures("_no_curves")
def test_a_run_goes_on_where_the_players_recogniser_has_moved_and_its_files_name_no_folder(
    tiny_faceset: Path, tmp_path: Path
) -> None:
    from gan.config import IdentityConfig, TrainingConfig
    from synthface.models import RECOGNIZER, shipped_model

    plain = TrainingConfig(batch=8, micro_batch=4, compile=False)
    for kimg, place in ((0.008, "first"), (0.016, "second")):
        (tmp_path / place).mkdir()
        copy = tmp_path / place / "player.safetensors"
        copy.write_bytes(shipped_model(RECOGNIZER).read_bytes())
        training = replace(plain, identity=IdentityConfig(form="centre", recognizer=str(copy)))
        resume = place == "second"
        train_gan.run(_options(tiny_faceset, tmp_path / "run", training=training, kimg=kimg, resume=resume))
    settings = read_header(tmp_path / "run" / FILE_NAME)["info"]["training"]
    assert settings["identity"]["recognizer"] == "player"
    assert str(tmp_path) not in (tmp_path / "run" / "run.json").read_text()


@pytest.mark.usefixtures("_no_curves")
def test_a_feature_discriminator_takes_part(tiny_faceset: Path, tmp_path: Path) -> None:
    from gan.config import FeatureConfig, TrainingConfig

    features = FeatureConfig(mode="beside", width=8, channels=8)
    training = TrainingConfig(batch=8, micro_batch=4, compile=False, features=features)
    train_gan.run(_options(tiny_faceset, tmp_path / "whole", training=training, kimg=0.032))
    train_gan.run(_options(tiny_faceset, tmp_path / "parts", training=training))
    train_gan.run(_options(tiny_faceset, tmp_path / "parts", training=training, kimg=0.032, resume=True))
    assert (
        _metrics(tmp_path / "parts")[-1]["loss_discriminator"] == _metrics(tmp_path / "whole")[-1]["loss_discriminator"]
    )
    weights = [(tmp_path / run / "generator.safetensors").read_bytes() for run in ("whole", "parts")]
    assert weights[0] == weights[1]
    assert "features recognizer" in json.loads((tmp_path / "whole" / "run.json").read_text())["inputs"]


@pytest.mark.usefixtures("_no_curves")
def test_a_run_begins_from_a_generator(tiny_faceset: Path, tmp_path: Path) -> None:
    from gan.config import TrainingConfig

    train_gan.run(_options(tiny_faceset, tmp_path / "first"))
    warm = TrainingConfig(batch=8, micro_batch=4, compile=False, warmup_kimg=0.016)
    begun = _options(tiny_faceset, tmp_path / "second", init=tmp_path / "first" / FILE_NAME, training=warm, seed=5)
    train_gan.run(begun)
    first, second = (load_generator(tmp_path / run).state_dict() for run in ("first", "second"))
    for name, tensor in first.items():  # all its steps were warm-up: only the discriminator has learnt
        assert tensor.equal(second[name]), name
    header = json.loads((tmp_path / "second" / "run.json").read_text())
    assert header["inputs"]["init"] == read_header(tmp_path / "second" / FILE_NAME)["info"]["begun_from_sha256"]
    assert "begun_from_sha256" not in read_header(tmp_path / "first" / FILE_NAME)["info"]
    train_gan.run(replace(begun, kimg=0.024, resume=True))
    assert not load_generator(tmp_path / "second").mapping.embed.weight.equal(first["mapping.embed.weight"])  # type: ignore[union-attr]
    larger = replace(begun.network, channel_max=4)
    with pytest.raises(ConfigError, match="other sizes"):
        train_gan.run(replace(begun, out=tmp_path / "third", network=larger))
    for init in (tmp_path / "first", tmp_path / "first" / FILE_NAME):  # shapes alone would fit
        clamped = replace(begun, out=tmp_path / f"from-{init.name}", init=init, network=replace(begun.network, clamp=2))
        with pytest.raises(ConfigError, match=r"--network\.clamp 0\.0"):
            train_gan.run(clamped)


@pytest.mark.usefixtures("_no_curves")
def test_a_run_begins_from_a_whole_training_under_other_settings(tiny_faceset: Path, tmp_path: Path) -> None:
    from gan.config import TrainingConfig
    from gan.training.checkpoint import load_trainer_state

    train_gan.run(_options(tiny_faceset, tmp_path / "first", monitor=MonitorConfig(ticks=2)))
    warm = TrainingConfig(batch=8, micro_batch=4, compile=False, warmup_kimg=0.016, learning_rate=1e-12)
    begun = _options(tiny_faceset, tmp_path / "second", init=tmp_path / "first", training=warm, seed=5)
    train_gan.run(begun)
    first, second = (load_trainer_state(tmp_path / run) for run in ("first", "second"))
    assert first is not None
    assert second is not None
    for name, tensor in first["G"].items():  # all its steps were warm-up
        assert tensor.equal(second["G"][name]), name
    for name, tensor in first["D"].items():  # its steps were next to nothing
        torch.testing.assert_close(tensor, second["D"][name], rtol=1e-6, atol=1e-8)
    step = 0.5 ** (8 / 10_000)  # of the average: its whole half-life counts from the first step on
    for name, tensor in first["G_ema"].items():
        torch.testing.assert_close(second["G_ema"][name], tensor.lerp(first["G"][name], 1 - step**2))
    moments = first["optimizer_D"]["state"], second["optimizer_D"]["state"]
    assert all(two["step"] > one["step"] > 0 for one, two in zip(*(part.values() for part in moments), strict=True))
    assert second["optimizer_D"]["param_groups"][0]["lr"] < 1e-11
    assert read_header(tmp_path / "second" / FILE_NAME)["info"]["seen_images_before"] == 16
    (tmp_path / "first" / "checkpoint.pt").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"first/checkpoint-good\.pt cannot be read \(it is damaged"):
        train_gan.run(replace(begun, out=tmp_path / "third"))


@pytest.mark.usefixtures("_no_curves")
def test_centres_are_taken_over_where_the_recogniser_is_the_same(tiny_faceset: Path, tmp_path: Path) -> None:
    from gan.config import IdentityConfig, TrainingConfig
    from gan.training.checkpoint import load_trainer_state

    played = TrainingConfig(batch=8, micro_batch=4, compile=False, identity=IdentityConfig(form="centre"))
    first = _options(tiny_faceset, tmp_path / "first", training=played)
    train_gan.run(first)
    record = tmp_path / "first" / "run.json"
    warm = replace(played, warmup_kimg=0.016)  # the player does not see a step of the second
    visits = []
    for name in ("same", "another", "unknown"):
        if name == "another":
            known = json.loads(record.read_text())
            known["inputs"]["identity recognizer"] = "0" * 64
            record.write_text(json.dumps(known))
        elif name == "unknown":
            record.unlink()
        train_gan.run(replace(first, out=tmp_path / name, init=tmp_path / "first", training=warm))
        state = load_trainer_state(tmp_path / name)
        assert state is not None
        visits.append(int(state["term"]["visits"].sum()))
    assert visits == [16, 0, 0]


def test_what_cannot_be_trained(tiny_faceset: Path, tmp_path: Path) -> None:
    from gan.config import TrainingConfig

    with pytest.raises(DataError, match="fewer than one batch"):
        train_gan.run(_options(tiny_faceset, tmp_path / "run", training=TrainingConfig(batch=64, micro_batch=64)))
    with pytest.raises(ConfigError, match="no run"):
        train_gan.run(_options(tiny_faceset, tmp_path / "run", resume=True))
    with pytest.raises(ConfigError, match="--minutes"):
        _options(tiny_faceset, tmp_path / "run", minutes=0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("preset", [[], ["--config", "lfw64"], ["--config", "lfw64-features"]])
def test_only_what_was_asked_for_limits_a_run(preset: list[str]) -> None:
    def limits(*more: str) -> tuple[float | None, float | None]:
        options = parse_options("train-gan", train_gan, ["--faces", "f", "--out", "o", *preset, *more])
        return options.minutes, options.kimg

    assert limits() == (60, None)
    assert limits("--kimg", "500") == (None, 500)
    assert limits("--kimg", "500", "--minutes", "5") == (5, 500)


def test_a_run_says_what_ended_it_and_what_comes_next(tmp_path: Path) -> None:
    options = _options(tmp_path / "faces", tmp_path / "run", kimg=20, minutes=90)
    ended, following = describe_ending(Ending(20_000, 20_000), options, 40)
    assert ended.startswith("20,000 images seen, ended by --kimg 20; generator: ")
    command = following.removeprefix("next: synthface generate ")
    assert command.startswith(f"--generator {options.out} ")
    assert parse_options("generate", generate, command.split()).distinct.fmr == 0
    assert "ended by --minutes 90;" in describe_ending(Ending(19_992, 19_992), options, 40)[0]
    halfway = replace(options, training=replace(options.training, transition=TransitionConfig(end_kimg=30)))
    assert "ends at 30,000 images; go on with --resume" in describe_ending(Ending(20_000, 20_000), halfway, 40)[1]
    doubt = Ending(20_000, 18_000, Finding("seed-collapse", "all alike", "another --seed"))
    assert describe_ending(doubt, options, 40)[1].endswith("or start again with another --seed")


@pytest.mark.parametrize("n_classes", [1, 2, 3, 4, 7, 8, 13, 31, 32])
def test_what_comes_next_can_be_done_with_so_few_people(tmp_path: Path, n_classes: int) -> None:
    options = _options(tmp_path / "faces", tmp_path / "run")
    following = describe_ending(Ending(20_000, 20_000), options, n_classes)[-1]
    parsed = parse_options("generate", generate, following.removeprefix("next: synthface generate ").split())
    assert (parsed.identities == "trained") == (n_classes < 3)
    if parsed.identities != "trained":
        assert len(generate._code(parsed, n_classes, 0)) == (4 if 4 <= n_classes < 8 else n_classes)


def test_a_run_that_did_not_end_goes_on_with_resume_where_there_is_one(tmp_path: Path) -> None:
    options = _options(tmp_path / "faces", tmp_path / "run")
    assert train_gan.how_to_go_on(options) == "run the same command again"
    (tmp_path / "run" / "samples").mkdir(parents=True)
    assert train_gan.how_to_go_on(options) == "run the same command again with --resume"
    assert train_gan.how_to_go_on(replace(options, resume=True)) == "run the same command again"


@pytest.mark.slow
@pytest.mark.parametrize("devices", ["1", "2"])
def test_ctrl_c_keeps_every_step(tiny_faceset: Path, tmp_path: Path, devices: str) -> None:
    # A tick that never ends: what is kept is kept by the interruption.
    length = ["--kimg", "1.6", "--tick-kimg", "100", "--monitor.ticks", "0", "--devices", devices]
    subprocess.run(_command(tiny_faceset, tmp_path / "whole", *length), check=True, capture_output=True, timeout=1200)
    run = tmp_path / "run"
    process = subprocess.Popen(_command(tiny_faceset, run, *length), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 1200
    while time.monotonic() < deadline and not (run / "checkpoint-good.pt").exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=1200)
    assert process.returncode == 130
    assert told.splitlines()[-1].endswith(
        "interrupted; run the same command again with --resume to go on where it stopped"
    )
    (line,) = _metrics(run)
    assert 0 < line["seen_images"] < 1600
    assert line["extra"] == "tick"
    subprocess.run(_command(tiny_faceset, run, *length, "--resume"), check=True, capture_output=True, timeout=1200)
    assert (run / FILE_NAME).read_bytes() == (tmp_path / "whole" / FILE_NAME).read_bytes()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--training.identity.statistics_weight", "1"], "--training.identity.statistics_weight: without"),
        (["--training.features.width", "8"], "--training.features.width: without"),
        (["--training.ada.mode", "none", "--training.ada.start", "0.5"], "--training.ada.start: without"),
    ],
)
def test_settings_of_what_is_off_are_refused_where_a_run_begins(words: list[str], named: str) -> None:
    arguments = ["--faces", "f", "--out", "o", *words]
    with pytest.raises(ConfigError, match=named):
        parse_options("train-gan", train_gan, arguments)
    assert parse_options("train-gan", train_gan, [*arguments, "--resume"]).resume


@pytest.mark.parametrize(
    "words", [["sface128", "--training.ada.mode", "none"], ["lfw64-features", "--training.features.mode", "off"]]
)
def test_what_a_preset_has_may_be_switched_off(words: list[str]) -> None:
    parse_options("train-gan", train_gan, ["--faces", "f", "--out", "o", "--config", *words])
