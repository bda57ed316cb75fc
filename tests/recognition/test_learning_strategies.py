"""SFace's settings, teachers of the same epoch, several seeds: what train-recognizer does around one training."""

import json
import statistics

import numpy as np
import pytest
import torch
from scipy import stats

from synthface.cli import parse_options
from synthface.core.errors import ConfigError, WeightsError
from synthface.presets import preset_names
from synthface.recognition import load_recognizer
from synthface.recognition.training.trainer import learning_rate_factor
from synthface.workflows import train_recognizer
from synthface.workflows.train_recognizer import Options
from synthface.workflows.training_recognizers.several_seeds import summarise_seeds
from synthface.workflows.training_recognizers.teachers import make_teacher

TINY = {"input_size": 32, "width": 0.125, "embedding_dim": 16, "batch": 16, "augment": "flip", "epochs": 3, "lr": 0.05}


def _options(faceset, out, **changes):
    return Options(faces=faceset.root, out=out, **(TINY | changes))


def _lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["sface-classification", "sface-transfer", "sface-combined"])
def test_presets_hold_sfaces_settings(name, tmp_path):
    assert name in preset_names("train-recognizer")
    words = ["--faces", "faces", "--out", "run", "--config", name]
    words += ["--teacher", "r50.pth"] if name != "sface-classification" else []
    options = parse_options("train-recognizer", train_recognizer, words)
    assert options.strategy == name.removeprefix("sface-")
    shared = (options.network, options.embedding_dim, options.dropout, options.epochs, options.milestones)
    assert shared == ("iresnet-50", 512, 0.4, 64, [39, 47, 51])
    assert (options.batch, options.lr, options.weight_decay, options.augment) == (512, 0.1, 5e-4, "flip")
    if name != "sface-transfer":
        assert (options.loss, options.scale, options.margin) == ("cosface", 64.0, 0.35)
    u, v = torch.nn.functional.normalize(torch.randn(2, 9, 512, generator=torch.Generator().manual_seed(0)), dim=2)
    published = (u - v).square().mean() * {"sface-transfer": 1, "sface-combined": 10000}.get(name, 0)
    if name != "sface-classification":
        assert options.weight_of_teacher * (1 - (u * v).sum(1)).mean() == pytest.approx(published.item(), rel=1e-5)


def test_pocketnets_preset_holds_its_settings():
    words = ["--faces", "faces", "--out", "run", "--config", "pocketnet-multi-step", "--teacher", "runs/teacher"]
    options = parse_options("train-recognizer", train_recognizer, words)
    assert (options.strategy, options.multi_step, options.network) == ("combined", True, "pocketnet-s")
    assert (options.loss, options.scale, options.margin) == ("arcface", 64.0, 0.5)
    assert (options.epochs, options.milestones, options.batch) == (26, [7, 13, 19, 24], 512)
    u, v = torch.nn.functional.normalize(torch.randn(2, 9, 128, generator=torch.Generator().manual_seed(0)), dim=2)
    published = 100 * (u - v).square().mean()
    assert options.weight_of_teacher * (1 - (u * v).sum(1)).mean() == pytest.approx(published.item(), rel=1e-5)


def test_milestones_cut_the_learning_rate_by_ten_and_nothing_else(make_faceset, tmp_path):
    people = make_faceset("train")
    train_recognizer.run(_options(people, tmp_path / "run", milestones=[1, 2], lr=0.1))
    assert [line["lr"] for line in _lines(tmp_path / "run")] == pytest.approx([0.1, 0.01, 0.001])


def test_milestones_hold_from_the_first_step_of_their_epoch_to_the_last_before_the_next():
    for step in (0, 9):
        progress = [(epoch + step / 10) / 64 for epoch in range(64)]
        factors = [learning_rate_factor(share, epochs=64, milestones=(39, 47, 51)) for share in progress]
        assert factors == pytest.approx([1.0] * 39 + [0.1] * 8 + [0.01] * 4 + [0.001] * 13)


def test_a_multi_step_student_follows_the_teacher_of_its_epoch(make_faceset, tmp_path):
    people = make_faceset("train")
    train_recognizer.run(_options(people, tmp_path / "teacher", keep_epochs=True))
    kept = sorted((tmp_path / "teacher" / "epochs").iterdir())
    assert [path.name for path in kept] == [f"epoch-000{k}.safetensors" for k in range(3)]
    images = people.read_images(range(8), 32, 32)
    embedded = [load_recognizer(path).embed(images) for path in kept]
    assert np.abs(embedded[0] - embedded[2]).max() > 0.01
    np.testing.assert_array_equal(embedded[2], load_recognizer(tmp_path / "teacher").embed(images))

    combined = {"strategy": "combined", "teacher": str(tmp_path / "teacher"), "multi_step": True}
    train_recognizer.run(_options(people, tmp_path / "several", **combined))
    # The first epoch's teacher alone, then the last's alone: the first epochs agree and differ accordingly.
    for name, epoch in (("first", 0), ("last", 2)):
        one = {"strategy": "combined", "teacher": str(kept[epoch])}
        train_recognizer.run(_options(people, tmp_path / name, **one))
    several, first, last = (_lines(tmp_path / name) for name in ("several", "first", "last"))
    assert several[0]["transfer"] == first[0]["transfer"] != last[0]["transfer"]
    assert several[1]["transfer"] != first[1]["transfer"]
    follows = make_teacher(
        str(tmp_path / "teacher"),
        people,
        epochs=3,
        multi_step=True,
        embedding_dim=16,
        compute=_options(people, tmp_path),
    )
    for epoch, path in enumerate(kept):
        alone = make_teacher(
            str(path), people, epochs=3, multi_step=False, embedding_dim=16, compute=_options(people, tmp_path)
        )
        np.testing.assert_array_equal(follows(epoch), alone(0))


def test_with_the_same_teacher_in_every_epoch_multi_step_is_single_step(make_faceset, weights_file, tmp_path):
    people = make_faceset("train")
    (tmp_path / "teacher" / "epochs").mkdir(parents=True)
    for k in range(3):
        (tmp_path / "teacher" / "epochs" / f"epoch-000{k}.safetensors").write_bytes(weights_file.read_bytes())
    options = {"strategy": "transfer", "teacher": str(tmp_path / "teacher"), "multi_step": True}
    train_recognizer.run(_options(people, tmp_path / "several", **options))
    train_recognizer.run(_options(people, tmp_path / "one", strategy="transfer", teacher=str(weights_file)))
    assert [line["loss"] for line in _lines(tmp_path / "several")] == [
        line["loss"] for line in _lines(tmp_path / "one")
    ]


def test_a_missing_or_broken_stage_stops_the_run(make_faceset, weights_file, tmp_path):
    people = make_faceset("train")
    epochs = tmp_path / "teacher" / "epochs"
    epochs.mkdir(parents=True)
    (epochs / "epoch-0000.safetensors").write_bytes(weights_file.read_bytes())
    options = {"strategy": "transfer", "teacher": str(tmp_path / "teacher"), "multi_step": True}
    with pytest.raises(WeightsError, match=r"epoch-0001.safetensors is missing \(2 of 3 epochs\).*--keep-epochs"):
        train_recognizer.run(_options(people, tmp_path / "run", **options))
    (epochs / "epoch-0001.safetensors").write_bytes(weights_file.read_bytes()[:-7])
    with pytest.raises(WeightsError):
        train_recognizer.run(_options(people, tmp_path / "run", **options | {"epochs": 2}))
    with pytest.raises(ConfigError, match="needs a --teacher"):
        _options(people, tmp_path / "run", multi_step=True)


def test_several_seeds_give_mean_and_interval(make_faceset, tmp_path, capsys):
    people, others = make_faceset("train"), make_faceset("others", identities=5, prefix="Q")
    options = _options(people, tmp_path / "runs", seeds=[3, 5], epochs=2, validate=others.root)
    assert train_recognizer.run(options) == 0
    values = [_lines(tmp_path / "runs" / f"seed-{seed}")[-1]["validation_auc"] for seed in (3, 5)]
    summary = json.loads((tmp_path / "runs" / "seeds.json").read_text())["last_epoch"]["validation_auc"]
    assert summary["values"] == values
    expected = stats.t.interval(0.95, 1, loc=statistics.mean(values), scale=stats.sem(values))
    assert summary["interval"] == pytest.approx(list(expected))
    assert "of 2 seeds" in capsys.readouterr().out
    alone = _options(people, tmp_path / "alone", seed=5, epochs=2, validate=others.root)
    train_recognizer.run(alone)
    weights = [path / "recognizer.safetensors" for path in (tmp_path / "alone", tmp_path / "runs" / "seed-5")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    with pytest.raises(ConfigError, match="--seeds takes two"):
        _options(people, tmp_path / "runs", seeds=[1, 1])
    assert set(summarise_seeds([{"loss": 1.0, "lr": 0.0}, {"loss": 2.0, "lr": 0.0}])) == {"loss"}


def test_only_an_iresnet_has_dropout(make_faceset, tmp_path):
    people = make_faceset("train")
    with pytest.raises(ConfigError, match="--dropout"):
        train_recognizer.run(_options(people, tmp_path / "run", dropout=0.4))


def test_epochs_that_were_not_kept_are_not_passed_over_in_silence(make_faceset, tmp_path, capsys):
    people = make_faceset("train")
    train_recognizer.run(_options(people, tmp_path / "run"))
    with pytest.raises(ConfigError, match=r"--keep-epochs: .*3 epochs and 3 of their networks were not kept"):
        train_recognizer.run(_options(people, tmp_path / "run", keep_epochs=True))
    train_recognizer.run(_options(people, tmp_path / "kept", keep_epochs=True))
    train_recognizer.run(_options(people, tmp_path / "kept", keep_epochs=True))  # complete: nothing to do
