"""``synthface convert``: any format to any other, killed, repeated, and with what it must refuse."""

import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthface.cli import main
from synthface.data import FaceSet, FaceSetWriter
from synthface.data.formats import open_source
from synthface.data.images import encode_png
from synthface.data.marks import mark_file, read_mark

FORMATS = ["faceset", "folders", "recordio", "webdataset", "parquet"]


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """A FaceSet with everything that a record may hold, and identities that are awkward as file names."""
    out = tmp_path_factory.mktemp("convert") / "faces"
    generator = np.random.default_rng(0)
    with FaceSetWriter(out, kind="synthetic", record={"command": "test", "config": {}, "inputs": {}}) as writer:
        for k in range(12):
            image = generator.integers(0, 255, (20, 18, 3), dtype=np.uint8)
            writer.add(
                f"images/{k // 4}/{k}.png", image, identity=("a/b", "..", "李 雷")[k // 4], source=f"s/{k}.png",
                landmarks=[[1.5, 2.0]] * 5, quality=0.25, class_index=k, seed=2**62 + k, generator="f" * 64, psi=0.7,
                noise_mode="const", cutoff=3, code={"parents": [1, 2]},
            )  # fmt: skip
        writer.finish()
    return out


def convert(*words):
    return main(["convert", *map(str, words)])


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("first", FORMATS)
@pytest.mark.parametrize("second", FORMATS)
def test_the_way_there_and_back_loses_nothing(synthetic, tmp_path, first, second):
    if "parquet" in (first, second):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    assert convert(synthetic, "--to", first, "--shard-size", 5, "--out", tmp_path / "a") == 0
    assert convert(tmp_path / "a", "--to", second, "--shard-size", 7, "--out", tmp_path / "b") == 0
    assert convert(tmp_path / "b", "--to", "faceset", "--out", tmp_path / "c") == 0
    assert FaceSet.load(tmp_path / "c").manifest_sha256 == FaceSet.load(synthetic).manifest_sha256
    assert FaceSet.load(tmp_path / "c").kind == "synthetic"
    FaceSet.load(tmp_path / "c").read_images(range(12), 20, 18)


def test_a_folder_of_photos_needs_to_say_what_it_is(tmp_path, images, capsys):
    for k, image in enumerate(images[::3]):
        (tmp_path / f"src/p{k // 2}").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"src/p{k // 2}/{k}.jpg").write_bytes(image)
    (tmp_path / "src/p0/notes.txt").write_text("no image")
    (tmp_path / "src/p1/loop").symlink_to(tmp_path)
    assert convert(tmp_path / "src", "--to", "faceset", "--out", tmp_path / "out") == 3
    assert "--kind real, synthetic or inverted" in capsys.readouterr().err
    assert convert(tmp_path / "src", "--to", "faceset", "--kind", "real", "--out", tmp_path / "out") == 0
    found = FaceSet.load(tmp_path / "out")
    assert [(record.path, record.identity) for record in found.records] == [
        ("images/p0/0.jpg", "p0"), ("images/p0/1.jpg", "p0"), ("images/p1/2.jpg", "p1"), ("images/p1/3.jpg", "p1"),
    ]  # fmt: skip
    assert [(tmp_path / "out" / record.path).read_bytes() for record in found.records] == images[::3]


@pytest.mark.parametrize("to", ["faceset", "recordio"])
def test_folders_of_one_name_composed_and_decomposed_are_one_person(tmp_path, images, to):
    for k, name in enumerate(("Jose\u0301", "Josef", "Jos\u00e9")):
        (tmp_path / "src" / name).mkdir(parents=True)
        (tmp_path / "src" / name / "1.jpg").write_bytes(images[k])
    assert convert(tmp_path / "src", "--to", to, "--kind", "real", "--out", tmp_path / "out") == 0
    found = {item.content: item.identity for item in open_source(tmp_path / "out").items()}
    assert [found[image] for image in images[:3]] == ["Jos\u00e9", "Josef", "Jos\u00e9"]


@pytest.fixture
def images():
    import io

    contents = []
    for k in range(12):
        stream = io.BytesIO()
        pixels = np.random.default_rng(k).integers(0, 255, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(stream, "JPEG")
        contents.append(stream.getvalue())
    return contents


def test_verification_sets_there_and_back(tmp_path, images):
    same = [True, False, True, False]
    path = tmp_path / "x.bin"
    path.write_bytes(pickle.dumps((images[:8], same), protocol=2))
    assert convert(path, "--to", "faceset", "--kind", "real", "--out", tmp_path / "faces") == 0
    assert convert(tmp_path / "faces", "--to", "bin", "--out", tmp_path / "y.bin") == 0
    assert pickle.loads((tmp_path / "y.bin").read_bytes()) == (images[:8], same)


def test_a_bin_from_a_pairs_file(tiny_faceset, tmp_path):
    (tmp_path / "pairs.txt").write_text("1\np0 1 2\np0 1 p1 3\n")
    words = [tiny_faceset, "--to", "bin", "--pairs", tmp_path / "pairs.txt"]
    assert convert(*words, "--out", tmp_path / "x.bin") == 0
    files, same = pickle.loads((tmp_path / "x.bin").read_bytes())
    names = ["p0/0", "p0/1", "p0/0", "p1/2"]
    assert files == [(tiny_faceset / f"images/{name}.png").read_bytes() for name in names]
    assert same == [True, False]
    assert convert(*words, "--out", tmp_path / "x.bin") == 3
    assert convert(*words, "--encode", "jpeg", "--out", tmp_path / "j.bin") == 0
    assert pickle.loads((tmp_path / "j.bin").read_bytes())[0][0].startswith(b"\xff\xd8")


def test_marks_survive_a_new_encoding(tmp_path):
    out = tmp_path / "faces"
    with FaceSetWriter(out, kind="synthetic", record={"command": "test", "config": {}, "inputs": {}}) as writer:
        pixels = np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
        content = mark_file(encode_png(pixels), "set-id")
        writer.add("images/0.png", content, identity="a", width=20, height=20)
        writer.finish()
    for encoding, suffix in (("jpeg", ".jpg"), ("webp", ".webp"), ("png", ".png")):
        assert convert(out, "--to", "folders", "--encode", encoding, "--out", tmp_path / encoding) == 0
        (item,) = open_source(tmp_path / encoding).items()
        assert item.name == f"images/0{suffix}"
        assert item.header.format == encoding.upper()
        assert "set-id" in (read_mark(item.content) or "")


def test_doing_it_again_does_nothing_and_something_else_is_refused(synthetic, tmp_path, capsys):
    words = [synthetic, "--to", "webdataset", "--out", tmp_path / "out"]
    assert convert(*words) == 0
    before = files_of(tmp_path / "out")
    assert convert(*words) == 0
    assert files_of(tmp_path / "out") == before
    assert convert(*words, "--shard-size", 3) == 3
    assert "already exists" in capsys.readouterr().err


def test_what_changed_after_it_was_written_is_noticed(synthetic, tmp_path, capsys):
    assert convert(synthetic, "--to", "webdataset", "--shard-size", 5, "--out", tmp_path / "w") == 0
    (tmp_path / "w/shard-000001.tar").unlink()
    assert convert(tmp_path / "w", "--to", "folders", "--out", tmp_path / "f") == 3
    assert "holds 7 images, not 12 as it says" in capsys.readouterr().err
    assert not (tmp_path / "f").exists()
    assert convert(synthetic, "--to", "recordio", "--out", tmp_path / "r") == 0
    rec = bytearray((tmp_path / "r/train.rec").read_bytes())
    rec[len(rec) // 2] ^= 1
    (tmp_path / "r/train.rec").write_bytes(rec)
    assert convert(tmp_path / "r", "--to", "folders", "--out", tmp_path / "f") == 3
    assert "does not match its hash" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing", "--to", "folders"], "does not exist"),
        ([".", "--to", "folders"], "holds none of the formats"),
        ([".", "--to", "folders", "--quality", "0"], "--quality 0"),
        ([".", "--to", "webdataset", "--shard-size", "0"], "--shard-size 0"),
        ([".", "--to", "folders", "--pairs", "x"], "--pairs belongs"),
        (["text.txt", "--to", "folders"], "holds none of the formats"),
        (["bomb", "--to", "folders"], "megapixels"),
        (["text", "--to", "recordio"], "not a JPEG, PNG or WebP image"),
    ],
)
def test_mistakes_are_named(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("hello")
    for name, content in (("bomb", _png_header(60_000, 60_000)), ("text", b"hello")):
        (tmp_path / f"{name}/a/").mkdir(parents=True)
        (tmp_path / f"{name}/a/1.png").write_bytes(content)
    monkeypatch.chdir(tmp_path / "text" / "a" if words[0] == "." else tmp_path)
    assert convert(*words, "--out", tmp_path / "out") == 3
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_a_listed_image_behind_a_linked_folder_is_not_read(synthetic, tmp_path, capsys):
    assert convert(synthetic, "--to", "folders", "--out", tmp_path / "set") == 0
    person = next(path for path in (tmp_path / "set").iterdir() if path.is_dir())
    person.rename(tmp_path / "elsewhere")
    person.symlink_to(tmp_path / "elsewhere")
    assert convert(tmp_path / "set", "--to", "recordio", "--out", tmp_path / "out") == 3
    assert "is a link, which is not followed" in capsys.readouterr().err
    person.unlink()
    person.mkdir()
    for file in (tmp_path / "elsewhere").iterdir():
        (person / file.name).symlink_to(file)
    assert convert(tmp_path / "set", "--to", "recordio", "--out", tmp_path / "out") == 3
    assert "no regular file" in capsys.readouterr().err


def _png_header(width, height):
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.slow
@pytest.mark.parametrize("to", ["webdataset", "faceset"])
def test_killed_at_random_moments_the_result_is_the_same(tmp_path, images, to):
    source = tmp_path / "src"
    for k in range(1500):
        (source / f"p{k // 30}").mkdir(parents=True, exist_ok=True)
        (source / f"p{k // 30}" / f"{k}.jpg").write_bytes(images[k % 12])
    words = ["convert", str(source), "--to", to, "--kind", "real", "--shard-size", "100", "--out"]
    begun = time.monotonic()
    assert main([*words, str(tmp_path / "whole")]) == 0
    seconds = time.monotonic() - begun
    draw = random.Random(0)
    out = tmp_path / "killed"
    n_killed, n_wanted = 0, int(os.environ.get("SYNTHFACE_KILLS", "4"))
    for _ in range(20 * n_wanted):
        if n_killed == n_wanted:
            break
        shutil.rmtree(out, ignore_errors=True)  # one that came to its end first; what a killed one left stays
        process = subprocess.Popen(
            [sys.executable, "-m", "synthface", *words, str(out)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        begun = time.monotonic()
        while process.poll() is None and not Path(f"{out}.partial").exists() and time.monotonic() < begun + 30:
            time.sleep(0.001)
        time.sleep(draw.uniform(0.0, seconds))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            n_killed += 1
        process.wait()
    assert n_killed == n_wanted
    assert main([*words, str(out)]) == 0
    assert files_of(out) == files_of(tmp_path / "whole")
    assert not Path(f"{out}.partial").exists()
    assert json.loads((out / ("conversion.json" if to == "webdataset" else "faceset.json")).read_text())


def test_a_copy_knows_its_generator_and_its_cleaning(tmp_path: Path, write_faceset: Callable[..., Path]) -> None:
    faces = write_faceset(tmp_path / "set", n_identities=2, per_identity=2, kind="synthetic", size=32)
    info = json.loads((faces / "faceset.json").read_text())
    told = {"generator": {"sha256": "ab" * 32, "trained_on_manifest_sha256": "cd" * 32}, "remediation": {"rounds": 3}}
    (faces / "faceset.json").write_text(json.dumps(info | told))
    assert main(["convert", str(faces), "--to", "faceset", "--out", str(tmp_path / "copy")]) == 0
    copy = json.loads((tmp_path / "copy" / "faceset.json").read_text())
    assert {name: copy[name] for name in told} == told
