import json
import os
import subprocess
import sys

import pytest

from synthface.core.errors import ConfigError
from synthface.core.journal import Journal, read_journal

RECORDS = [
    {"path": "a.png", "n": 1},
    {"left_out": "b", "reason": "déchiré"},
    {"path": "c.png", "deep": [1, {"x": None}]},
]


def write(path):
    with Journal(path) as journal:
        for record in RECORDS:
            journal.append(record)


def test_what_is_appended_comes_back(tmp_path):
    write(tmp_path / "j.jsonl")
    assert read_journal(tmp_path / "j.jsonl") == RECORDS
    with Journal(tmp_path / "j.jsonl") as journal:
        assert journal.records == RECORDS


def test_a_journal_cut_at_any_byte_keeps_its_whole_lines_and_goes_on(tmp_path):
    path = tmp_path / "j.jsonl"
    write(path)
    content = path.read_bytes()
    ends = [k + 1 for k, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        n_whole = sum(end <= cut for end in ends)
        with Journal(path) as journal:
            assert journal.records == RECORDS[:n_whole]
            journal.append({"path": "new.png"})
        lines = path.read_text(encoding="utf-8").splitlines()
        assert [json.loads(line) for line in lines] == [*RECORDS[:n_whole], {"path": "new.png"}]


def test_reading_leaves_a_torn_line_to_its_writer(tmp_path):
    path = tmp_path / "j.jsonl"
    write(path)
    path.write_bytes(path.read_bytes() + b'{"path": "half')
    before = path.read_bytes()
    assert read_journal(path) == RECORDS
    assert path.read_bytes() == before


def test_two_processes_cannot_write_the_same_journal(tmp_path):
    path = tmp_path / "j.jsonl"
    script = f"from pathlib import Path\nfrom synthface.core.journal import Journal\nJournal(Path({str(path)!r}))"
    with Journal(path):
        other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert "being written by another process" in other.stderr
    with Journal(path) as journal:  # free again once closed
        journal.append({"path": "x"})


def test_the_lock_ends_with_a_killed_process(tmp_path):
    path = tmp_path / "j.jsonl"
    script = (
        "import os, signal\nfrom pathlib import Path\nfrom synthface.core.journal import Journal\n"
        f"Journal(Path({str(path)!r})).append({{'path': 'a'}})\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -9
    with Journal(path) as journal:
        assert journal.records == [{"path": "a"}]


def test_an_open_journal_in_this_process_counts_too(tmp_path):
    with Journal(tmp_path / "j.jsonl"), pytest.raises(ConfigError, match="another process"):
        Journal(tmp_path / "j.jsonl")


def test_lines_reach_the_file_at_once(tmp_path):
    with Journal(tmp_path / "j.jsonl") as journal:
        journal.append({"path": "a"})
        assert os.path.getsize(tmp_path / "j.jsonl") > 0  # noqa: PTH202
