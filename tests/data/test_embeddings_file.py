import io
import random
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from synthface.core.errors import DataError
from synthface.data import Embeddings
from synthface.data.array_file import DAMAGED_ARRAY_FILE, check_declared_sizes

VECTORS = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
NAMES = ["Ann", "Ann", "Bo", "Çelik 李"]
IMAGES = [f"images/{k}.png" for k in range(4)]


def test_embeddings_come_back_and_give_the_same_bytes(tmp_path):
    made = Embeddings(VECTORS, NAMES, IMAGES, np.arange(4, dtype=np.float32), {"recognizer": "r"})
    made.save(tmp_path / "a.npz")
    made.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    read = Embeddings.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(read.vectors, VECTORS)
    np.testing.assert_array_equal(read.norms, [0, 1, 2, 3])
    assert read.identities.tolist() == NAMES
    assert read.info == {"recognizer": "r"}
    part = read.take(read.identities == "Ann")
    assert (len(part), part.images.tolist(), part.norms.tolist()) == (2, IMAGES[:2], [0, 1])
    Embeddings(VECTORS, NAMES, IMAGES).save(tmp_path / "c.npz")
    assert Embeddings.load(tmp_path / "c.npz").norms is None


@pytest.mark.parametrize(
    ("vectors", "identities", "message"),
    [
        (VECTORS[:3], NAMES, "one row, one identity"),
        (VECTORS[0], NAMES, "one row, one identity"),
        (np.where(np.arange(4)[:, None] == 2, np.nan, VECTORS), NAMES, r"1 embeddings hold NaN .*row 2"),
        (VECTORS * np.array([[1], [1.1], [1], [1]]), NAMES, r"row 1 has norm 1\.1"),
    ],
)
def test_wrong_embeddings_are_refused(vectors, identities, message):
    with pytest.raises(DataError, match=message):
        Embeddings(vectors, identities, IMAGES)


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"--embeddings .*does not exist"):
        Embeddings.load(tmp_path / "absent.npz", flag="--embeddings")
    (tmp_path / "words.npz").write_text("words")
    with pytest.raises(DataError, match="not an embeddings file"):
        Embeddings.load(tmp_path / "words.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(DataError, match="not an embeddings file"):
        Embeddings.load(tmp_path / "other.npz")
    np.savez(tmp_path / "pickle.npz", vectors=np.array([object()]), identities=NAMES, images=IMAGES)
    with pytest.raises(DataError, match="not an embeddings file"):
        Embeddings.load(tmp_path / "pickle.npz")


def npy_header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def test_a_file_that_declares_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    liar, bomb, plain = tmp_path / "liar.npz", tmp_path / "bomb.npz", tmp_path / "liar.npy"
    with zipfile.ZipFile(liar, "w") as archive:
        archive.writestr("vectors.npy", npy_header((2**22, 64)) + bytes(100))
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vectors.npy", npy_header((2**19, 64)) + bytes(2**27))
    plain.write_bytes(npy_header((2**22, 64)) + bytes(100))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="declares 1,073,741,824 bytes, of which 100 are there"):
            Embeddings.load(liar)
        with pytest.raises(DataError, match=r"would unpack to 134,217,8"):
            Embeddings.load(bomb)
        with pytest.raises(ValueError, match="of which 100 are there"):
            check_declared_sizes(plain)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_compressed_embeddings_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "e.npz", vectors=VECTORS, identities=np.array(NAMES), images=np.array(IMAGES))
    np.testing.assert_array_equal(Embeddings.load(tmp_path / "e.npz").vectors, VECTORS)


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_whatever_is_damaged_in_a_file_of_arrays_is_among_the_errors_named(tmp_path: Path, suffix: str) -> None:
    draw = random.Random(0)
    path = tmp_path / f"e{suffix}"
    stream = io.BytesIO()
    np.save(stream, VECTORS) if suffix == ".npy" else np.savez_compressed(stream, vectors=VECTORS)
    whole = stream.getvalue()
    refused = 0
    for _ in range(500):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(content)
        try:
            check_declared_sizes(path)
            loaded = np.load(path, allow_pickle=False)
            _ = loaded if suffix == ".npy" else dict(loaded)
        except DAMAGED_ARRAY_FILE:
            refused += 1
    assert refused > 150


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x04K\x01.", b"PK\x03\x04 torn"])
def test_what_is_no_npz_is_said_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not an .*make one with 'synthface embed'"):
        Embeddings.load(path)
