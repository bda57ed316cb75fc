"""A hundred and fifty damaged files for each reader; ``scripts/fuzz_readers.py`` does ten thousand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
QUICK = ["recordio", "recordio index", "recordio sidecar", "bin", "bin of protocol 2", "webdataset", "webdataset.gz",
         "folders", "image", "archive", "photo JPEG", "photo PNG", "photo TIFF", "mark png", "mark jpeg", "mark webp",
         "manifest", "faceset.json", "audit.json", "embeddings"]  # fmt: skip
WITH_TORCH = ["official pickle", "generator", "recognizer"]


def _fuzz(*words: str) -> list[dict]:
    command = [sys.executable, str(SCRIPTS / "fuzz_readers.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPTS.parent, check=False)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == int(any(result["bad"] for result in results)), done.stderr
    return results


def test_every_reader_reads_or_refuses() -> None:
    results = _fuzz("--cases", "150", "--readers", *QUICK)
    assert [result["reader"] for result in results] == QUICK
    for result in results:
        refused = sum(count for outcome, count in result.items() if outcome.startswith("refused"))
        assert result["bad"] == 0, result
        assert result.get("read", 0) + refused == 150, result
        assert refused > 50, result  # the changes do damage


def test_parquet_is_read_or_refused() -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    (result,) = _fuzz("--cases", "150", "--readers", "parquet")
    assert result["bad"] == 0, result


@pytest.mark.slow
@pytest.mark.parametrize("reader", WITH_TORCH)
def test_models_are_read_or_refused(reader: str) -> None:
    (result,) = _fuzz("--cases", "150", "--readers", reader)
    assert result["bad"] == 0, result


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("raise KeyError('x')", "other error"),
        ("while True: pass", "too slow"),
        ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        ("(folder.parent / 'outside.png').read_bytes()", "escape"),
        ("(folder / 'new').write_text('x')", "escape"),
        ("import pickle; pickle.loads(pickle.dumps(len))", "escape"),
        ("bytearray(3 * 2**30)", "other error"),
    ],
)
def test_the_harness_notices(body: str, what: str, tmp_path: Path) -> None:
    """A reader that misbehaves on damaged input alone is reported as what it is."""
    script = f"""
import sys
sys.path.insert(0, {str(SCRIPTS)!r})
import fuzz_readers
from fuzz_corpus import Reader
def make(folder): return {{"f": b"whole" * 100}}
def read(folder):
    if (folder / "f").read_bytes() != b"whole" * 100:
        {body}
fuzz_readers.READERS["bad"] = Reader("bad", "f", make, read)
sys.argv = ["x", "--cases", "3", "--readers", "bad", "--seconds", "0.5"]
raise SystemExit(fuzz_readers.main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    result = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr
    assert result["bad"] == 3
    assert what in json.dumps(result)


def test_what_nobody_has_damaged_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every damaged file would be refused for what is wrong with the sample."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from fuzz_corpus import READERS

    for reader in READERS.values():
        if reader.name == "parquet":
            pytest.importorskip("pyarrow")
        folder = tmp_path / reader.name.replace(" ", "-")
        folder.mkdir()
        whole = reader.make(folder / "making")
        inside = folder / "set"
        for name, content in whole.items():
            (inside / name).parent.mkdir(parents=True, exist_ok=True)
            (inside / name).write_bytes(content)
        reader.read(inside)
