"""embed, killed without warning in the middle."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


def _run(faces: Path, out: Path, cache: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "synthface", "embed", str(faces), "--recognizer", "synthface-small"]
    environment = {**os.environ, "SYNTHFACE_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, "--out", str(out)], env=environment, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_killed_and_run_again_nothing_is_missing_or_doubled(tmp_path: Path, write_faceset: Callable[..., Path]) -> None:
    faces = write_faceset(tmp_path / "faces", n_identities=60, per_identity=50, size=32)
    cache = tmp_path / "cache"
    process = _run(faces, tmp_path / "killed.npz", cache)
    deadline = time.monotonic() + 1200
    while time.monotonic() < deadline and len(list(cache.glob("embeddings/*.partial/*.np*"))) < 3:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed.npz").exists()
    assert list(cache.glob("embeddings/*.partial/*.np*"))
    assert _run(faces, tmp_path / "killed.npz", cache).wait(timeout=1200) == 0
    assert _run(faces, tmp_path / "whole.npz", tmp_path / "other cache").wait(timeout=1200) == 0
    assert (tmp_path / "killed.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    with np.load(tmp_path / "killed.npz") as file:
        assert len(set(file["images"].tolist())) == len(file["vectors"]) == 3000
