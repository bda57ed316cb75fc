"""The benchmark runs without data, and finds its two sides in agreement."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bench_inversion.py"


def test_benchmark_compares_and_writes_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("bench_inversion", SCRIPT)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    file = tmp_path / "bench.json"
    options = ["--batch", "2", "--rounds", "1", "--steps", "1", "--threads", "1", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", ["bench_inversion.py", *options, "--prior-form", "paper"])
    assert bench.main() == 0
    report = json.loads(file.read_text())
    peer, ours = report["sides"].values()
    assert peer["ratio_to_peer"] == 1
    assert ours["image_steps_per_second"] > 0
    assert "synthface, eager" in capsys.readouterr().out


def test_sides_that_differ_are_not_compared() -> None:
    spec = importlib.util.spec_from_file_location("bench_inversion", SCRIPT)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    terms = {"identity": 1.0, "prior": 2.0, "tv_l1": 3.0}
    with pytest.raises(SystemExit, match="eager does not compute what peer does"):
        bench.agree({"peer": lambda: terms, bench.EAGER: lambda: {**terms, "prior": 2.1}})
