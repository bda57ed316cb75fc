"""train-recognizer --shard-classes: parts of the centres in the checkpoint, none in what is published."""

import json
import os
import subprocess
import sys

import pytest
import torch

from synthface.core.errors import ConfigError
from synthface.recognition.batch_statistics import with_shared_batch_norms
from synthface.recognition.network_config import NetworkConfig
from synthface.recognition.networks.build import build_network
from synthface.recognition.training.trainer import Trainer
from synthface.workflows import train_recognizer
from synthface.workflows.train_recognizer import Options

TINY = {"input_size": 32, "width": 0.125, "embedding_dim": 16, "batch": 16, "augment": "flip", "lr": 0.01}


def _options(faceset, out, **changes):
    return Options(faces=faceset.root, out=out, **(TINY | {"epochs": 3, "shard_classes": True} | changes))


def _lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class Killed(BaseException):
    pass


def _kill_in_epoch(monkeypatch, epoch):
    original = Trainer._step

    def dies(trainer, *arguments):
        if trainer.next_epoch == epoch:
            raise Killed
        return original(trainer, *arguments)

    monkeypatch.setattr(Trainer, "_step", dies)


@pytest.mark.parametrize("loss_options", [None, {"sample_rate": 0.5}])
def test_a_killed_run_goes_on_exactly(make_faceset, tmp_path, monkeypatch, loss_options):
    people = make_faceset("train")
    (tmp_path / "whole").mkdir()
    train_recognizer.run(_options(people, tmp_path / "whole" / "run", loss_options=loss_options))
    with monkeypatch.context() as patched:
        _kill_in_epoch(patched, 2)
        with pytest.raises(Killed):
            train_recognizer.run(_options(people, tmp_path / "run", loss_options=loss_options))
    begun = tmp_path / "run.partial"
    assert [path.name for path in begun.glob("centres-*")] == ["centres-000002-00000-of-00001.safetensors"]
    state = torch.load(begun / "checkpoint.pt", weights_only=True)
    assert not [key for key in state["student"] if "centres" in key]
    train_recognizer.run(_options(people, tmp_path / "run", loss_options=loss_options))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "metrics.jsonl", "recognizer.safetensors", "run.json",
    ]  # fmt: skip
    whole, resumed = (
        (path / "recognizer.safetensors").read_bytes() for path in (tmp_path / "whole/run", tmp_path / "run")
    )
    assert whole == resumed


def test_it_learns_what_the_parameter_learns(make_faceset, tmp_path):
    people = make_faceset("train")
    for name, spread in (("table", True), ("parameter", False)):
        train_recognizer.run(_options(people, tmp_path / name, epochs=1, shard_classes=spread))
    # Later epochs part by rounding alone: so small a network, at so high a learning rate, magnifies it.
    assert _lines(tmp_path / "table")[0]["loss"] == pytest.approx(_lines(tmp_path / "parameter")[0]["loss"], rel=1e-4)
    config = [
        json.loads((tmp_path / name / "run.json").read_text())["made_by"]["config"] for name in ("table", "parameter")
    ]
    assert config[0] == config[1] | {"shard_classes": True}


@pytest.mark.slow
def test_a_run_of_one_process_is_finished_by_two(make_faceset, tmp_path, monkeypatch):
    people = make_faceset("train")
    changes = {"loss": "subcenter-arcface", "loss_options": {"sub_centres": 2}}
    with monkeypatch.context() as patched:
        _kill_in_epoch(patched, 1)
        with pytest.raises(Killed):
            train_recognizer.run(_options(people, tmp_path / "run", **changes))
    arguments = ["train-recognizer", "--faces", str(people.root), "--out", str(tmp_path / "run"), "--shard-classes"]
    arguments += [word for key, value in TINY.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    arguments += ["--epochs", "3", "--loss", "subcenter-arcface", "--loss-options.sub_centres", "2", "--devices", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "synthface", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "going on after epoch 1" in done.stderr
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"metrics.jsonl", "recognizer.safetensors", "run.json", "dropped.txt"}
    losses = [line["loss"] for line in _lines(tmp_path / "run")]
    assert len(losses) == 3
    assert losses[2] < losses[0]


def test_what_cannot_be_spread_is_refused_by_name(make_faceset, tmp_path):
    people = make_faceset("train")
    with pytest.raises(ConfigError, match="--loss center cannot be spread; these can: softmax, "):
        train_recognizer.run(_options(people, tmp_path / "run", loss="center"))
    with pytest.raises(ConfigError, match="--shard-classes: --strategy transfer"):
        _options(people, tmp_path / "run", strategy="transfer", teacher="x")
    assert not list(tmp_path.glob("run*"))


def test_shared_batch_norms_need_gpus_and_change_no_name(make_faceset, tmp_path):
    people = make_faceset("train")
    with pytest.raises(ConfigError, match="--sync-batch-norm needs --device cuda, not cpu"):
        train_recognizer.run(_options(people, tmp_path / "run", sync_batch_norm=True))
    for architecture in ("MobileFaceNet", "IResNet-18", "PocketNet-S"):
        config = NetworkConfig(architecture=architecture, input_size=(32, 32), embedding_dim=16)
        plain = build_network(config, seed=0).eval()
        shared = with_shared_batch_norms(build_network(config, seed=0), device_type="cuda").eval()
        assert [type(part).__name__ for part in shared.modules()].count("SyncBatchNorm") > 5
        assert not [part for part in shared.modules() if isinstance(part, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d)]
        assert plain.state_dict().keys() == shared.state_dict().keys()
        images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
        torch.testing.assert_close(shared(images), plain(images))
