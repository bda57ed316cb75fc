"""The studies that train many recognisers: what fails is a row, and costs the others nothing."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from synthface.cli import main

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TINY = ["--input-size", "32", "--width", "0.125", "--embedding-dim", "8", "--batch", "16", "--epochs", "2"]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    known = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - known:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == SCRIPTS:
            del sys.modules[name]


@pytest.fixture
def faces(tmp_path: Path, write_faceset: Callable[..., Path]) -> Path:
    return write_faceset(tmp_path / "faces", n_identities=4, per_identity=8, size=32)


def test_a_training_that_diverges_says_so_and_leaves_no_result(faces: Path, tmp_path: Path, capsys) -> None:
    command = ["train-recognizer", "--faces", str(faces), *TINY, "--loss", "softmax", "--lr", "1e38"]
    for _ in range(2):  # repeated, it ends in the same way
        assert main([*command, "--out", str(tmp_path / "run")]) == 3
        assert "give a smaller --lr" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_it_is_a_row_of_the_table(script, faces: Path, tmp_path: Path) -> None:
    runs = script("recognition_runs")
    options = {"faces": faces, "input_size": 32, "width": 0.125, "embedding_dim": 8, "batch": 16, "epochs": 2}
    assert "--lr" in runs.train(**options, loss="softmax", lr=1e38, out=tmp_path / "run")["failed"]
    assert "accuracy" not in runs.summary_or_failure(runs.Benchmark((faces,)), [tmp_path / "run"])


def test_tables_hold_what_failed_and_rates_at_an_end(script) -> None:
    losses = script("compare_losses")
    figures = {"accuracy": 0.8, "accuracy_interval": (0.7, 0.9), "accuracy_seeds": [0.8], "auc": 0.9, "eer": 0.1}
    row = {"lr": 0.3, "changed": None, "epochs": 1, "seconds": 1.0, **figures}
    rows = [
        {"loss": "within", "rates": {0.1: 0.1, 0.3: 0.9, 1.0: 0.2}, **row},
        {"loss": "at the end", "rates": {0.03: 0.1, 0.1: 0.2, 0.3: 0.9}, **row},
        {"loss": "lost", "lr": 0.1, "rates": {0.1: 0.0}, "changed": None, "failed": "no number"},
    ]
    size = {"parameters": 10, "flops": 1e6}
    table = losses.markdown({"size": size, "rows": rows, "images": 1, "people": 1, "pairs": 1}, losses.Settings())
    assert "| 0.3 |" in next(line for line in table.splitlines() if "within" in line)
    assert "| 0.3† |" in next(line for line in table.splitlines() if "at the end" in line)
    assert "failed: no number" in table


@pytest.mark.parametrize(
    ("tried", "further"),
    [({0.03: 3, 0.1: 2, 0.3: 1}, 0.01), ({0.03: 1, 0.1: 2, 0.3: 3}, 1.0), ({0.03: 1, 0.1: 3, 0.3: 2}, None)],
)
def test_the_next_rate_lies_beyond_the_best_at_an_end(script, tried, further) -> None:
    assert script("compare_losses").beyond(tried) == further


def test_scores_belong_to_the_weights(script, faces: Path, tmp_path: Path) -> None:
    runs = script("recognition_runs")
    benchmark = runs.Benchmark((faces,), pairs=1)
    benchmark.__dict__["drawn"] = runs.PairRows(
        rows=np.array([[0, 1], [0, 9]]), same=np.array([True, False]), folds=np.array([0, 1])
    )
    scores = []
    for seed in ("0", "1"):
        out = tmp_path / "run"
        assert main(["train-recognizer", "--faces", str(faces), *TINY, "--seed", seed, "--out", str(out)]) == 0
        scores.append(benchmark.scores(out))
        out.rename(tmp_path / f"kept-{seed}")
    assert (scores[0] != scores[1]).any()
