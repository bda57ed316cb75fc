"""A writer's memory does not grow with what it writes, but for the few bytes by which it knows a path again."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from synthface.core import external_sort
from synthface.data import FaceSetWriter

RECORD = {"command": "test", "config": {}, "seed": 0, "inputs": {}, "versions": {}}


def _peak(out: Path, n_records: int) -> int:
    image = np.zeros((16, 16, 3), np.uint8)
    tracemalloc.start()
    with FaceSetWriter(out, kind="real", record=RECORD) as writer:
        writer.add("images/a/1.png", image, identity="a")
        for number in range(n_records):
            if not writer.is_left_out(f"photos/{number:06d}.jpg"):
                writer.leave_out(f"photos/{number:06d}.jpg", "no face of the size that is looked for was found")
    with FaceSetWriter(out, kind="real", record=RECORD) as writer:  # as after a kill
        assert writer.done("images/a/1.png")
        assert writer.is_left_out(f"photos/{n_records - 1:06d}.jpg")
        faces = writer.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(faces), faces.info["n_left_out"]) == (1, n_records)
    return peak


def test_memory_stays_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_sort, "LINES_A_RUN", 200)
    few, many = _peak(tmp_path / "few", 500), _peak(tmp_path / "many", 2_500)
    assert many - few < 2_000 * 80
    lines = (tmp_path / "many" / "left_out.jsonl").read_text().splitlines()
    assert lines == sorted(lines)
