"""A .bin verification set as the pairs of ``synthface evaluate``."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthface.core.errors import ConfigError
from synthface.workflows.evaluate import Options
from synthface.workflows.pairs_file import open_bin


def test_rows_follow_the_file_and_images_are_its_own(tmp_path):
    contents = []
    for k in range(40):
        stream = io.BytesIO()
        Image.fromarray(np.full((112, 112, 3), 6 * k, np.uint8)).save(stream, "PNG" if k % 3 else "JPEG")
        contents.append(stream.getvalue())
    path = tmp_path / "x.bin"
    path.write_bytes(pickle.dumps((contents, [k % 3 == 0 for k in range(20)])))
    faceset, rows, folds = open_bin(path)
    assert [same for _, _, same in rows] == [k % 3 == 0 for k in range(20)]
    assert folds == [k // 2 for k in range(20)]
    in_order = [row for first, second, _ in rows for row in (first, second)]
    read = [(faceset.root / faceset.records[row].path).read_bytes() for row in in_order]
    assert read == contents
    for first, second, same in rows:
        assert (faceset.records[first].identity == faceset.records[second].identity) == same
    assert open_bin(path)[0].manifest_sha256 == faceset.manifest_sha256  # from the cache


def test_flags_that_contradict_are_named():
    words = {"recognizer": ["synthface-small"], "out": Path("out")}
    with pytest.raises(ConfigError, match="brings its own images"):
        Options(pairs=Path("x.bin"), faces=Path("faces"), **words)
    with pytest.raises(ConfigError, match="--faces is missing"):
        Options(pairs=Path("pairs.txt"), **words)
