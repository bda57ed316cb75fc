"""The operations that scripts/count_work.py counts, against closed forms."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from gan.config import NetworkConfig, PathLengthConfig, TrainingConfig

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def count_work(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(SCRIPTS))
    spec = importlib.util.spec_from_file_location("count_work", SCRIPTS / "count_work.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_steps_add_up_as_often_as_they_come(count_work) -> None:  # type: ignore[no-untyped-def]
    network = NetworkConfig(resolution=16, z_dim=8, w_dim=8, channel_base=128, channel_max=8)
    plain = count_work.gan_counts(network, TrainingConfig(r1_interval=4))
    penalised = TrainingConfig(r1_interval=4, path_length=PathLengthConfig(weight=2.0, interval=2))
    counts = count_work.gan_counts(network, penalised)
    assert plain["training"] == plain["generator step"] + plain["discriminator step"] + plain["R1 step"] / 4
    assert counts["training"] == plain["training"] + counts["path-length step"] / 2
    # Both networks forwards and backwards; the generator's own share is more than what it takes to draw an image.
    assert counts["generator step"] > 3 * counts["sampling"]


@pytest.mark.slow
def test_an_iresnet_50_needs_the_operations_its_authors_state(count_work) -> None:  # type: ignore[no-untyped-def]
    counts = count_work.recogniser_counts("IResNet-50", 10)
    assert counts["embedding"] == pytest.approx(2 * 6.3e9, rel=0.01)  # InsightFace: 6.3 G multiplications and additions
    assert counts["training"] == pytest.approx(3 * counts["embedding"], rel=0.01)


def test_hours_are_operations_by_rate(count_work, monkeypatch, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "work.json"
    sizes = ["--images", "1000", "--train-images", "500", "--identities", "10", "--epochs", "2"]
    words = [
        "count_work.py",
        "--config",
        "smoke",
        "--network",
        "IResNet-18",
        "--rates",
        "2",
        *sizes,
        "--json",
        str(file),
    ]
    monkeypatch.setattr(sys, "argv", words)
    assert count_work.main() == 0
    report = json.loads(file.read_text())
    assert report["kimg"] == 0.5  # the preset's own
    of_one = report["gflop_per_image"]
    assert report["petaflop"]["train-gan"] * 1e6 == pytest.approx(500 * of_one["smoke, training"])
    assert report["petaflop"]["audit's search"] * 1e15 == pytest.approx(2 * 512 * 1000 * 500)
    hours = report["hours"]["2 TFLOP/s"]["train-recognizer"]
    assert hours * 3600 * 2e12 == pytest.approx(2000 * of_one["IResNet-18, training"] * 1e9)
    assert "published" not in report
    assert "GFLOP an image" in capsys.readouterr().out
    assert count_work.published(1e9, 3600)["1 V100"] == {
        "hours": pytest.approx([12.8 * 1, 13.7 * 1]),
        "tflops_a_gpu": pytest.approx([1 / 13.7, 1 / 12.8]),
    }
