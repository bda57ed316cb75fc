"""train-recognizer on tiny pictures: it learns, repeats itself, resumes exactly, and keeps no class centres."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from synthface.core.errors import ConfigError, DataError, WeightsError
from synthface.recognition import load_recognizer
from synthface.recognition.losses import LOSSES
from synthface.recognition.training.trainer import Trainer, learning_rate_factor
from synthface.recognition.training.validation import all_pairs_verification, validation_rows
from synthface.workflows import train_recognizer
from synthface.workflows.train_recognizer import Options

TINY = {"input_size": 32, "width": 0.125, "embedding_dim": 16, "batch": 16, "augment": "flip"}


def _options(faceset, out, **changes):
    return Options(faces=faceset.root, out=out, **(TINY | {"epochs": 3, "lr": 0.05} | changes))


def test_it_learns_people_it_has_not_seen(make_faceset, tmp_path, capsys):
    people, others = make_faceset("train", identities=8), make_faceset("others", identities=5, prefix="Q")
    out = tmp_path / "run"
    assert train_recognizer.run(_options(people, out, epochs=8, validate=others.root)) == 0
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(8))
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"]
    assert lines[-1]["validation_auc"] > 0.9
    assert "recognizer.safetensors" in capsys.readouterr().out

    recognizer = load_recognizer(out)
    assert recognizer.name == "run"
    figures = all_pairs_verification(recognizer.network, others.read_images(range(len(others)), 32, 32), others.labels)
    assert figures["auc"] == pytest.approx(lines[-1]["validation_auc"], abs=1e-9)
    with safe_open(out / "recognizer.safetensors", "pt") as file:
        about = json.loads(file.metadata()["synthface"])["about"]
        assert not [name for name in file.keys() if "head.weight" in name]  # noqa: SIM118
    assert about["made_by"]["inputs"]["faces"] == people.manifest_sha256
    assert sorted(path.name for path in out.iterdir()) == ["metrics.jsonl", "recognizer.safetensors", "run.json"]


def test_same_seed_same_bytes_other_seed_other_weights(make_faceset, tmp_path):
    people = make_faceset("train")
    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_recognizer.run(_options(people, tmp_path / name, epochs=1, seed=seed))
        weights.append((tmp_path / name / "recognizer.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]
    assert str(tmp_path).encode() not in weights[0] + (tmp_path / "a" / "run.json").read_bytes()


@pytest.mark.parametrize("killed_at", ["second epoch", "after metrics"])
def test_a_killed_run_goes_on_exactly(make_faceset, tmp_path, monkeypatch, killed_at):
    from synthface.recognition.training.run_folder import TrainingFolder

    people = make_faceset("train")
    (tmp_path / "whole").mkdir()
    train_recognizer.run(_options(people, tmp_path / "whole" / "run"))

    class Killed(BaseException):
        pass

    def dies(self, *arguments):
        if self_epoch(self) == 1:
            raise Killed
        return original(self, *arguments)

    with monkeypatch.context() as patched:
        if killed_at == "second epoch":
            original, self_epoch = Trainer._step, lambda trainer: trainer.next_epoch
            patched.setattr(Trainer, "_step", dies)
        else:  # figures of epoch 1 are written, its checkpoint is not
            original = TrainingFolder.save_checkpoint
            self_epoch = lambda folder: len((folder.working / "metrics.jsonl").read_text().splitlines()) - 1  # noqa: E731
            patched.setattr(TrainingFolder, "save_checkpoint", dies)
        with pytest.raises(Killed):
            train_recognizer.run(_options(people, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="other settings"):
        train_recognizer.run(_options(people, tmp_path / "run", lr=0.01))
    train_recognizer.run(_options(people, tmp_path / "run"))
    whole, resumed = (tmp_path / "whole" / "run"), tmp_path / "run"
    assert (resumed / "recognizer.safetensors").read_bytes() == (whole / "recognizer.safetensors").read_bytes()
    losses = [[json.loads(x)["loss"] for x in (p / "metrics.jsonl").read_text().splitlines()] for p in (whole, resumed)]
    assert losses[0] == losses[1]
    before = (resumed / "run.json").stat().st_mtime_ns
    assert train_recognizer.run(_options(people, resumed)) == 0  # complete: nothing to do
    assert (resumed / "run.json").stat().st_mtime_ns == before


def test_people_count_epochs_from_1_and_hear_of_one_when_it_is_kept(make_faceset, tmp_path, monkeypatch, caplog):
    from synthface.recognition.training.run_folder import TrainingFolder

    def dies(self, state):
        raise KeyboardInterrupt

    people = make_faceset("train")
    caplog.set_level("INFO")
    with monkeypatch.context() as patched:
        patched.setattr(TrainingFolder, "save_checkpoint", dies)
        with pytest.raises(KeyboardInterrupt):
            train_recognizer.run(_options(people, tmp_path / "run"))
    assert not any("epoch 1 " in message for message in caplog.messages)
    train_recognizer.run(_options(people, tmp_path / "run"))
    told = [message.split()[1] for message in caplog.messages if message.startswith("  epoch ")]
    assert told == ["1", "2", "3"]
    kept = [json.loads(line)["epoch"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert kept == [0, 1, 2]


def test_transfer_follows_the_teacher_without_labels(make_faceset, weights_file, tmp_path):
    from synthface.workflows.embed import embed_faceset

    people = make_faceset("train")
    out = tmp_path / "run"
    options = _options(people, out, strategy="transfer", teacher=str(weights_file), epochs=6, lr=0.1)
    train_recognizer.run(options)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["transfer"] < 0.5 * lines[0]["transfer"]
    assert lines[-1]["classification"] == 0
    assert lines[-1]["loss"] == pytest.approx(train_recognizer.TRANSFER_WEIGHT * lines[-1]["transfer"])
    student, teacher = (embed_faceset(people, str(path)).vectors for path in (out, weights_file))
    assert (student * teacher).sum(axis=1).mean() > 0.6


def test_combined_is_both(make_faceset, weights_file, tmp_path):
    people = make_faceset("train")
    out = tmp_path / "run"
    options = _options(people, out, strategy="combined", teacher=str(weights_file), epochs=1, distil_weight=2.0)
    train_recognizer.run(options)
    line = json.loads((out / "metrics.jsonl").read_text())
    assert line["loss"] == pytest.approx(line["classification"] + 2 * line["transfer"])


def test_the_teachers_distance_is_the_mean_squared_difference_in_other_words():
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.nn.functional.normalize(torch.randn(9, 512, generator=generator).double()) for _ in range(2))
    assert 10000 * (u - v).square().mean().item() == pytest.approx(
        10000 * 2 / 512 * (1 - (u * v).sum(dim=1)).mean().item()
    )


def test_minutes_end_the_schedule(make_faceset, tmp_path, monkeypatch):
    people, calls = make_faceset("train"), itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: 0.02 * next(calls))  # twice a step
    monkeypatch.setattr("synthface.recognition.training.trainer.time", clock)
    train_recognizer.run(_options(people, tmp_path / "run", epochs=100_000, minutes=0.01))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 10  # of three steps
    assert lines[-1]["lr"] < lines[0]["lr"]
    assert 0.9 < lines[-1]["progress"] < 1


def test_learning_rate_rises_then_falls_to_nothing():
    factors = [learning_rate_factor(progress) for progress in np.linspace(0, 1, 101)]
    assert factors[0] < 0.05
    assert max(factors) == pytest.approx(1.0, abs=1e-3)
    assert factors[-1] == pytest.approx(0, abs=1e-9)
    peak = int(np.argmax(factors))
    assert (np.diff(factors[:peak]) > 0).all()
    assert (np.diff(factors[peak:]) < 0).all()


def test_what_cannot_be_trained_is_refused(make_faceset, tmp_path, weights_file):
    people = make_faceset("train")
    with pytest.raises(ConfigError, match="needs a --teacher"):
        _options(people, tmp_path / "run", strategy="transfer")
    with pytest.raises(ConfigError, match="takes no --teacher"):
        _options(people, tmp_path / "run", teacher="x")
    with pytest.raises(WeightsError, match="no-such-teacher"):
        train_recognizer.run(_options(people, tmp_path / "run", strategy="transfer", teacher="no-such-teacher"))
    with pytest.raises(DataError, match="shares 6 identities"):
        train_recognizer.run(_options(people, tmp_path / "run", validate=people.root))
    narrow = _options(people, tmp_path / "run", strategy="transfer", teacher=str(weights_file), embedding_dim=8)
    with pytest.raises(ConfigError, match="gives 16 numbers and the student 8; give --embedding-dim 16"):
        train_recognizer.run(narrow)
    lone = make_faceset("lone", identities=1)
    with pytest.raises(DataError, match="1 identities"):
        train_recognizer.run(_options(lone, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("loss", "options", "changes"),
    [
        ("triplet-batchhard", None, {"optimizer": "adamw", "lr": 1e-3}),
        ("id-triplet", None, {}),
        ("adapted-margin", None, {}),
        ("arcface", {"past_pi": "easy", "grad": "detached"}, {}),
        ("cosface", {"sample_rate": 0.5}, {}),
        ("simplex", None, {}),
        ("magface", None, {"optimizer": "muon", "lr": 0.02}),
    ],
)
def test_other_losses_train_and_resume_exactly(make_faceset, tmp_path, monkeypatch, loss, options, changes):
    people = make_faceset("train")
    settings = {"loss": loss, "loss_options": options, "epochs": 2} | changes
    train_recognizer.run(_options(people, tmp_path / "whole" / "run", **settings))

    class Killed(BaseException):
        pass

    def dies(self, *arguments):
        if self.next_epoch == 1:
            raise Killed
        return original(self, *arguments)

    original = Trainer._step
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", dies)
        with pytest.raises(Killed):
            train_recognizer.run(_options(people, tmp_path / "run", **settings))
    train_recognizer.run(_options(people, tmp_path / "run", **settings))
    whole, resumed = (
        (path / "recognizer.safetensors").read_bytes() for path in (tmp_path / "whole" / "run", tmp_path / "run")
    )
    assert resumed == whole


def test_other_optimizers_learn_stand_in_the_record_and_refuse_sampled_centres(make_faceset, tmp_path):
    people = make_faceset("train", identities=8)
    others = {name: {"optimizer": name, "lr": lr} for name, lr in (("adamw", 1e-3), ("muon", 0.02))}
    for name, changes in (others | {"sgd": {}}).items():
        train_recognizer.run(_options(people, tmp_path / name, epochs=8, **changes))
        record = json.loads((tmp_path / name / "run.json").read_text())["made_by"]["config"]
        assert record.get("optimizer", "sgd") == name
        losses = [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        assert losses[-1] < 0.7 * losses[0]
    for name, changes in others.items():
        sampled = _options(people, tmp_path / "no", **changes, loss_options={"sample_rate": 0.5})
        with pytest.raises(ConfigError, match=f"--optimizer {name}: spread or sampled"):
            train_recognizer.run(sampled)
    assert not (tmp_path / "no").exists()


def test_loss_options_are_flags(make_faceset, tmp_path, capsys):
    from synthface.cli import main

    people = make_faceset("train")
    arguments = ["train-recognizer", "--faces", str(people.root), "--out", str(tmp_path / "run"), "--input-size", "32"]
    arguments += ["--width", "0.125", "--embedding-dim", "16", "--epochs", "1", "--batch", "16", "--loss", "sphereface"]
    assert main([*arguments, "--loss-options.lam_min", "2", "--loss-options.margin", "3"]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())["made_by"]["config"]
    assert record["loss_options"] == {"lam_min": 2, "margin": 3}
    assert main([*arguments[:4], str(tmp_path / "no"), *arguments[5:], "--loss-options.preset", "x"]) == 3
    assert "sphereface has no option 'preset'; it takes margin=4" in capsys.readouterr().err
    assert not list(tmp_path.glob("no*"))  # so that the corrected command does not meet a run begun otherwise


def test_subcentre_arcface_lists_mislabelled_images(tmp_path):
    from synthface.data import FaceSetWriter

    generator = np.random.default_rng(0)
    patterns = generator.integers(0, 256, (4, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    with FaceSetWriter(tmp_path / "faces", kind="synthetic", record={"command": "test"}) as writer:
        for k in range(64):
            who, shown = k % 4, (k % 4 + 1) % 4 if k < 6 else k % 4
            image = np.clip(patterns[shown] + generator.normal(0, 15, patterns[shown].shape), 0, 255).astype(np.uint8)
            writer.add(f"images/{k:03d}.png", image, identity=f"P{who}", source=f"{k}.jpg")
        people = writer.finish()
    options = {"loss": "subcenter-arcface", "epochs": 10, "augment": "none", "loss_options": {"sub_centres": 2}}
    train_recognizer.run(_options(people, tmp_path / "run", **options))
    dropped = (tmp_path / "run" / "dropped.txt").read_text().split()
    wrong = {f"images/{k:03d}.png" for k in range(6)}
    assert set(dropped) <= wrong
    assert len(dropped) >= 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distil_weight": 2.0}, "--distil-weight: --strategy classification has no use for it"),
        ({"strategy": "transfer", "teacher": "x", "margin": 0.3}, "--margin: --strategy transfer has no use for it"),
        ({"strategy": "transfer", "teacher": "x", "loss_options": {"m": 1}}, "--loss-options: --strategy transfer"),
        ({"lr": float("inf")}, "--lr inf: give a finite number"),
        ({"minutes": float("nan")}, "--minutes nan: give a finite number"),
    ],
)
def test_flags_without_a_use_or_a_finite_value_are_refused(make_faceset, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        _options(make_faceset("train"), tmp_path / "run", **changes)


def test_what_no_user_chooses_is_no_option(make_faceset, tmp_path):
    people = make_faceset("train")
    for name in ("seed", "shard", "class_counts"):
        with pytest.raises(ConfigError, match=f"has no option '{name}'"):
            train_recognizer.run(_options(people, tmp_path / "run", loss="adapted-margin", loss_options={name: 3}))
    with pytest.raises(ConfigError, match="margin cannot be nan"):
        LOSSES["cosface"](4, 8, margin=float("nan"))


def test_people_that_cannot_validate_are_refused_before_training(make_faceset, tmp_path):
    people = make_faceset("train")
    for name, sizes in (("single", {"per_identity": 1}), ("alone", {"identities": 1})):
        others = make_faceset(name, prefix="Q", **sizes)
        with pytest.raises(DataError, match=f"--validate .*{name} shows .* give two people or more"):
            train_recognizer.run(_options(people, tmp_path / "run", validate=others.root))
    assert not (tmp_path / "run.partial").exists()


def test_a_large_set_is_validated_on_people_from_all_of_it():
    labels = np.repeat(np.arange(500), 10)
    rows = validation_rows(labels)
    assert len(rows) <= 2000
    assert np.bincount(labels[rows]).max() == 10
    assert len(np.unique(labels[rows])) >= 150
    assert labels[rows].max() > 490
    assert np.array_equal(validation_rows(labels[:50]), np.arange(50))
