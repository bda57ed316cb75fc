"""What a student follows: a teacher's embeddings as they are, or whitened; and in which precision it is computed."""

import json

import numpy as np
import pytest
import torch

from synthface.core.errors import ConfigError
from synthface.recognition import load_recognizer
from synthface.recognition.network_config import NetworkConfig
from synthface.recognition.networks.build import build_network
from synthface.recognition.training.student import Student
from synthface.recognition.training.whitening import whitened
from synthface.workflows import train_recognizer
from synthface.workflows.embed import embed_faceset
from synthface.workflows.train_recognizer import Options

TINY = {"input_size": 32, "width": 0.25, "embedding_dim": 16, "batch": 16, "augment": "none", "epochs": 2, "lr": 0.05}


def _options(faceset, out, **changes):
    return Options(faces=faceset.root, out=out, strategy="transfer", **(TINY | changes))


def _lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def skewed():
    rng = np.random.default_rng(0)
    spread = np.geomspace(1, 10, 6)
    turned = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    return (rng.normal(size=(20_000, 6)) * spread @ turned + 4).astype(np.float32)


@pytest.mark.parametrize("power", [0.0, 0.25, 0.5])
def test_whitening_takes_the_stated_power_of_the_variances(skewed, power):
    unit = whitened(skewed, power).astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-5)
    # Naively, by singular values; the floor is 5 % of the mean variance.
    centred = skewed - skewed.mean(axis=0, dtype=np.float64)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    variances = values**2 / len(skewed)
    floored = variances + 0.05 * variances.mean()
    before = centred @ axes.T / floored**power @ axes
    expected = before / np.linalg.norm(before, axis=1, keepdims=True)
    np.testing.assert_allclose(unit, expected, atol=1e-5)


def test_whitening_survives_embeddings_that_do_not_vary():
    assert np.array_equal(whitened(np.ones((5, 4), np.float32), 0.25), np.zeros((5, 4), np.float32))
    flat = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    flat[:, 2] = 3
    assert np.isfinite(whitened(flat, 0.5)).all()
    with pytest.raises(ConfigError, match=r"0 to 0\.5"):
        whitened(flat, 0.6)


def test_a_student_follows_the_whitened_teacher(make_faceset, weights_file, tmp_path):
    people = make_faceset("train", identities=8)
    options = _options(people, tmp_path / "whitened", teacher=str(weights_file), whiten_teacher=0.25, epochs=30)
    train_recognizer.run(options)
    raw = embed_faceset(people, str(weights_file), flip=True).vectors
    student = load_recognizer(tmp_path / "whitened").embed(people.read_images(range(len(people)), 32, 32))
    to_raw, to_whitened = ((student * target).sum(axis=1).mean() for target in (raw, whitened(raw, 0.25)))
    assert to_whitened > to_raw + 0.2
    made = json.loads((tmp_path / "whitened" / "run.json").read_text())["made_by"]["config"]
    assert made["whiten_teacher"] == 0.25
    train_recognizer.run(_options(people, tmp_path / "plain", teacher=str(weights_file)))
    assert "whiten_teacher" not in json.loads((tmp_path / "plain" / "run.json").read_text())["made_by"]["config"]
    train_recognizer.run(_options(people, tmp_path / "centred", teacher=str(weights_file), whiten_teacher=0.0))
    assert json.loads((tmp_path / "centred" / "run.json").read_text())["made_by"]["config"]["whiten_teacher"] == 0.0


def test_whitening_wants_a_teacher_and_a_power(make_faceset, tmp_path):
    people = make_faceset("train")
    with pytest.raises(ConfigError, match=r"--whiten-teacher 0\.7: give 0 to 0\.5, and a --teacher"):
        _options(people, tmp_path / "run", teacher="mobilefacenet-ms1m", whiten_teacher=0.7)
    with pytest.raises(ConfigError, match="--whiten-teacher"):
        Options(faces=people.root, out=tmp_path / "run", whiten_teacher=0.25)


def test_the_teacher_too_can_be_computed_in_bfloat16(make_faceset, weights_file, tmp_path):
    people = make_faceset("train", identities=8)
    first = {}
    for name, half in (("half", True), ("full", False)):
        options = _options(people, tmp_path / name, teacher=str(weights_file), half_teacher=half)
        train_recognizer.run(options)
        record = json.loads((tmp_path / name / "run.json").read_text())["made_by"]["config"]
        assert record.get("half_teacher", False) is half
        first[half] = _lines(tmp_path / name)[0]["transfer"]
    assert first[True] != first[False]
    assert first[True] == pytest.approx(first[False], rel=0.02)
    with pytest.raises(ConfigError, match="--half-teacher: give a --teacher"):
        Options(faces=people.root, out=tmp_path / "run", half_teacher=True)


def test_half_computes_the_network_in_bfloat16_and_keeps_float32_weights():
    config = NetworkConfig(architecture="PatchResNet", input_size=(32, 32), embedding_dim=16, width=0.5)
    images = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    teacher = torch.randn(16, 16, generator=torch.Generator().manual_seed(1))
    losses, seen = {}, []
    for half in (False, True):
        network = build_network(config, seed=0)
        network.blocks[0].conv1.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
        student = Student(network, None, half=half)
        loss, _, transfer = student(images, torch.zeros(16, dtype=torch.int64), teacher)
        loss.backward()
        losses[half] = transfer.item()
        assert loss.dtype == torch.float32
        assert all(p.dtype == p.grad.dtype == torch.float32 for p in network.parameters())
    assert seen == [torch.float32, torch.bfloat16]
    assert losses[True] == pytest.approx(losses[False], rel=0.02)


def test_half_trains_a_run_and_stands_in_its_record(make_faceset, weights_file, tmp_path):
    people = make_faceset("train", identities=8)
    for name, half in (("half", True), ("full", False)):
        options = _options(people, tmp_path / name, teacher=str(weights_file), network="patchresnet", half=half)
        train_recognizer.run(options)
        record = json.loads((tmp_path / name / "run.json").read_text())
        assert record["made_by"]["config"].get("half", False) is half
    half, full = (_lines(tmp_path / name)[-1]["transfer"] for name in ("half", "full"))
    assert half != full
    assert half == pytest.approx(full, rel=0.1)
