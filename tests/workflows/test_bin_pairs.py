"""A .bin verification set as the pairs of ``synthface evaluate``."""

import io
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthface.core.errors import ConfigError
from synthface.workflows.evaluate import Options
from synthface.workflows.pairs_file import open_bin


def _write_bin(path):
    contents = []
    for k in range(40):
        stream = io.BytesIO()
        Image.fromarray(np.full((112, 112, 3), 6 * k, np.uint8)).save(stream, "PNG" if k % 3 else "JPEG")
        contents.append(stream.getvalue())
    path.write_bytes(pickle.dumps((contents, [k % 3 == 0 for k in range(20)])))
    return contents


def test_rows_follow_the_file_and_images_are_its_own(tmp_path, monkeypatch):
    path = tmp_path / "x.bin"
    contents = _write_bin(path)
    faceset, rows, folds = open_bin(path)
    assert [same for _, _, same in rows] == [k % 3 == 0 for k in range(20)]
    assert folds == [k // 2 for k in range(20)]
    in_order = [row for first, second, _ in rows for row in (first, second)]
    read = [(faceset.root / faceset.records[row].path).read_bytes() for row in in_order]
    assert read == contents
    for first, second, same in rows:
        assert (faceset.records[first].identity == faceset.records[second].identity) == same
    monkeypatch.setattr("filelock.FileLock", None)  # who only reads a cache may not be allowed to lock it
    assert open_bin(path)[0].manifest_sha256 == faceset.manifest_sha256


def test_processes_that_open_a_set_at_once_fill_the_cache_once(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "cache"))
    _write_bin(tmp_path / "x.bin")
    opened = "open_bin(pathlib.Path(sys.argv[1]))[0]"
    code = f"import pathlib, sys; from synthface.workflows.pairs_file import open_bin; print({opened}.manifest_sha256)"
    command = [sys.executable, "-c", code, str(tmp_path / "x.bin")]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    hashes = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0] * 4
    assert len(set(hashes)) == 1
    (folder,) = (path for path in (tmp_path / "cache" / "verification").iterdir() if path.is_dir())
    assert open_bin(tmp_path / "x.bin")[0].root == folder


def test_flags_that_contradict_are_named():
    words = {"recognizer": ["synthface-small"], "out": Path("out")}
    with pytest.raises(ConfigError, match="brings its own images"):
        Options(pairs=Path("x.bin"), faces=Path("faces"), **words)
    with pytest.raises(ConfigError, match="--faces is missing"):
        Options(pairs=Path("pairs.txt"), **words)
