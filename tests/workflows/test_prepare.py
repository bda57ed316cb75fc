import contextlib
import importlib.util
import io
import json
import os
import signal
import struct
import subprocess
import sys
import tarfile
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from drawn_face import draw_face
from PIL import Image

from synthface.cli import main
from synthface.core.errors import DataError
from synthface.data import FaceSet, FaceSetWriter
from synthface.data.formats import Item, open_sink

needs_detector = pytest.mark.skipif(
    importlib.util.find_spec("mtcnn") is None, reason="the detect extra is not installed"
)


def encoded(picture: Image.Image, format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def huge_png() -> bytes:
    """Return a PNG whose header claims 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def put(folder: Path, photos: dict[str, bytes]) -> Path:
    for name, content in photos.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def left_out(folder: Path) -> dict[str, str]:
    file = folder / "left_out.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {line["left_out"]: line["reason"] for line in map(json.loads, lines)}


def coloured(value: int) -> bytes:
    return encoded(Image.new("RGB", (20, 20), (value % 256, value * 7 % 256, value * 31 % 256)))


@needs_detector
def test_a_nasty_folder_gives_its_good_faces_and_a_reason_for_each_other_file(tmp_path, capsys):
    face = draw_face(width=260, height=250)
    sideways, exif = face.rotate(90, expand=True), Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    photos = put(
        tmp_path / "photos",
        {
            "good/plain.png": encoded(face),
            "good/plain.jpg": encoded(face, "JPEG", quality=98),
            "good/turned.png": encoded(sideways, exif=exif),
            "good/grey.png": encoded(face.convert("L")),
            "good/cmyk.jpg": encoded(face.convert("CMYK"), "JPEG", quality=98),
            "李 雷 Ünï/фото 1.png": encoded(face),
            "bad/truncated.jpg": encoded(face, "JPEG")[:-2000],
            "bad/words.jpg": b"these are words",
            "bad/dot.png": encoded(Image.new("RGB", (1, 1))),
            "bad/huge.png": huge_png(),
            "bad/nobody.png": encoded(Image.new("RGB", (200, 200), (90, 120, 60))),
        },
    )
    (photos / "empty").mkdir()
    (photos / "good" / "loop").symlink_to(photos, target_is_directory=True)

    assert main(["prepare", str(photos), "--out", str(tmp_path / "faces")]) == 0

    faces = FaceSet.load(tmp_path / "faces")
    reasons = left_out(tmp_path / "faces")
    assert set(reasons) == {
        *("bad/truncated.jpg", "bad/words.jpg", "bad/dot.png", "bad/huge.png", "bad/nobody.png"),
        *("empty/", "good/loop"),
    }
    assert "damaged image" in reasons["bad/truncated.jpg"]
    assert reasons["bad/words.jpg"] == "not an image that can be read"
    assert "1x1 pixels" in reasons["bad/dot.png"]
    assert "megapixels" in reasons["bad/huge.png"]
    assert reasons["bad/nobody.png"] == "no face found"
    assert reasons["empty/"] == "empty folder"
    assert "link to a folder" in reasons["good/loop"]

    images = {record.source: faces.read_image(k) for k, record in enumerate(faces.records)}
    records = {record.source: record for record in faces.records}
    assert len(images) == 6
    assert {record.identity for record in faces.records} == {"good", "李 雷 Ünï"}
    assert records["李 雷 Ünï/фото 1.png"].path == "images/李 雷 Ünï/фото 1.png"
    assert len({record.path for record in faces.records}) == 6
    plain = images["good/plain.png"]
    np.testing.assert_array_equal(images["good/turned.png"], plain)  # upright again, pixel by pixel
    np.testing.assert_array_equal(images["李 雷 Ünï/фото 1.png"], plain)
    assert np.abs(images["good/plain.jpg"].astype(int) - plain).mean() < 3
    assert np.abs(images["good/cmyk.jpg"].astype(int) - plain).mean() < 12
    grey = images["good/grey.png"].astype(int)
    assert np.abs(grey - grey[:, :, :1]).max() == 0
    record = records["good/plain.png"]
    assert (record.width, record.height, record.alignment) == (112, 112, "arcface")
    assert record.quality > 0.9
    assert np.shape(record.landmarks) == (5, 2)

    told = capsys.readouterr().out
    assert "6 faces of 2 people" in told
    assert "7 of 13 files left out" in told
    assert "no face found" in told
    assert "left_out.jsonl" in told


def test_aligned_images_are_taken_as_they_are(tmp_path, capsys):
    exact = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    photos = put(
        tmp_path / "photos",
        {
            "ann/1.png": encoded(Image.fromarray(exact)),
            "bo/1.png": encoded(Image.new("RGB", (64, 64), (10, 20, 30))),
            "bo/2.png": encoded(Image.new("RGB", (64, 65))),
        },
    )
    assert main(["prepare", str(photos), "--out", str(tmp_path / "faces"), "--detector", "none"]) == 0
    faces = FaceSet.load(tmp_path / "faces", kinds=["real"])
    np.testing.assert_array_equal(faces.read_image(0), exact)
    assert faces.read_image(1).shape == (112, 112, 3)
    assert {record.alignment for record in faces.records} == {"given"}
    assert left_out(tmp_path / "faces") == {"bo/2.png": "not square, so not an aligned face"}
    assert "1 of 3 files left out" in capsys.readouterr().out


def test_a_person_whose_name_cannot_be_printed_is_kept_in_a_set_that_others_read(tmp_path, capsys):
    names = ["p1\tx", "p1\\x09x", "p2\x1b[31m", "p3\x7f\n", "p4\x85", "Jos\u00e9", "Jose\u0301"]
    photos = put(tmp_path / "photos", {f"{name}/1.png": coloured(k) for k, name in enumerate(names)})
    archive = tmp_path / "photos.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(photos, ".")
    for source in (photos, archive):
        out = tmp_path / f"faces of {source.name}"
        assert main(["prepare", str(source), "--out", str(out), "--detector", "none"]) == 0
        assert main(["verify", str(out)]) == 0
        assert FaceSet.load(out).identities == (
            "Jos\u00e9", "p1\\x09x", "p1\\x5cx09x", "p2\\x1b[31m", "p3\\x7f\\x0a", "p4\\u0085",
        )  # fmt: skip
        assert len(FaceSet.load(out)) == len(names)


def test_a_folder_its_archive_and_its_shards_give_the_same_images(tmp_path):
    photos = {f"p{k // 3}/{k}.png": coloured(k) for k in range(12)}
    put(tmp_path / "photos", photos)
    for name, part in (("all", list(photos)), ("one", list(photos)[:5]), ("two", list(photos)[5:])):
        with tarfile.open(tmp_path / f"{name}.tar.gz", "w:gz") as archive:
            for member in part:
                archive.add(tmp_path / "photos" / member, member)
    manifests = set()
    for name in ("photos", "all.tar.gz", "one.tar.gz two.tar.gz"):
        out = tmp_path / f"faces of {name}"
        sources = [str(tmp_path / part) for part in name.split()]
        assert main(["prepare", *sources, "--out", str(out), "--detector", "none"]) == 0
        manifests.add((out / "manifest.jsonl").read_bytes())
    assert len(manifests) == 1
    assert manifests.pop().count(b"\n") == 12


@pytest.mark.parametrize("format", ["recordio", "parquet"])
def test_a_labelled_set_gives_what_its_photos_in_folders_give(tmp_path, format, monkeypatch):
    if format == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    photos = {f"p{k // 50}/{k}.png": coloured(k) for k in range(150)}
    put(tmp_path / "photos", photos)
    (tmp_path / "set").mkdir()
    sink = open_sink(format, tmp_path / "set", shard_size=70)
    for name in sorted(photos):
        sink.add(Item(photos[name], name.split("/")[0], name))
    sink.finish()
    command = ["--out", str(tmp_path / "faces"), "--detector", "none"]
    assert main(["prepare", str(tmp_path / "photos"), "--out", str(tmp_path / "expected"), "--detector", "none"]) == 0
    expected = (tmp_path / "expected/manifest.jsonl").read_bytes()

    n_added = 0

    def add_or_stop(*arguments: object, **fields: object) -> None:
        nonlocal n_added
        n_added += 1
        if n_added == 100:
            raise DataError("stopped")
        add(*arguments, **fields)

    add = FaceSetWriter.add
    with monkeypatch.context() as patched:
        patched.setattr(FaceSetWriter, "add", add_or_stop)
        assert main(["prepare", str(tmp_path / "set"), *command]) == 3
    assert n_lines(tmp_path / "faces.partial/journal-0.jsonl") == 99
    assert main(["prepare", str(tmp_path / "set"), *command]) == 0
    assert (tmp_path / "faces/manifest.jsonl").read_bytes() == expected


def test_labels_are_people_and_what_cannot_be_read_is_listed(tmp_path, caplog):
    (tmp_path / "set").mkdir()
    sink = open_sink("recordio", tmp_path / "set")
    for k, content in enumerate([coloured(1), coloured(2), b"these are words", coloured(3)]):
        sink.add(Item(content, f"person {k // 2}", f"{k}.png"))
    sink.finish()
    (tmp_path / "set/items.jsonl").unlink()
    rec = tmp_path / "set/train.rec"
    assert main(["prepare", str(rec), "--out", str(tmp_path / "faces"), "--detector", "none"]) == 0
    faces = FaceSet.load(tmp_path / "faces")
    assert faces.identities == ("000000", "000001")
    assert [record.path for record in faces.records] == [
        *(f"images/000000/{k:08d}.png" for k in (1, 2)),
        "images/000001/00000004.png",
    ]
    assert list(left_out(tmp_path / "faces").values()) == ["not an image that can be read"]
    assert not any("folder" in line for line in caplog.messages)

    rec.write_bytes(rec.read_bytes()[:-20])
    assert main(["prepare", str(rec), "--out", str(tmp_path / "cut"), "--detector", "none"]) == 3


def test_photos_in_no_folder_and_repeated_runs(tmp_path, capsys, caplog):
    photos = put(tmp_path / "photos", {f"Ann_{k}.png": coloured(k) for k in range(3)})
    command = ["prepare", str(photos), "--detector", "none", "--out"]
    assert main([*command, str(tmp_path / "a")]) == 0
    assert FaceSet.load(tmp_path / "a").identities == ("Ann_0", "Ann_1", "Ann_2")
    assert any("no photo is in a person's folder" in line and "prefix" in line for line in caplog.messages)
    before = contents(tmp_path / "a")
    assert main([*command, str(tmp_path / "a")]) == 0  # again: nothing to do
    assert contents(tmp_path / "a") == before
    caplog.clear()
    assert main([*command, str(tmp_path / "b"), "--flat-identity", "prefix"]) == 0
    assert not any("folder" in line for line in caplog.messages)
    assert FaceSet.load(tmp_path / "b").identities == ("Ann",)
    assert main([*command, str(tmp_path / "a"), "--flat-identity", "prefix"]) == 3
    assert "made otherwise" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent", "--out", "x"], "absent does not exist"),
        (["photos", "--out", "x", "--min-face", "0"], "--min-face 0 is not in"),
        (["photos", "--out", "x", "--devices", "0"], "--devices and --nodes"),
        (["photos", "--out", "x", "--detector", "haar"], "haar"),
        (["none", "--out", "x", "--detector", "none"], "no file in it"),
        (["words", "--out", "x", "--detector", "none"], "none of the 1 files gave a face"),
        (["words/1.jpg", "--out", "x"], "give the folder it is in"),
    ],
)
def test_mistakes_are_one_line_and_exit_3(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, {"photos/a/1.png": coloured(1), "words/1.jpg": b"words"})
    (tmp_path / "none").mkdir()
    assert main(["prepare", *arguments]) == 3
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("synthface: error: ")
    assert message in error


def test_a_missing_detector_is_noticed_before_any_photo_is_read(tmp_path, monkeypatch, capsys):
    photos = put(tmp_path / "photos", {"a/1.png": coloured(1)})
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
    assert main(["prepare", str(photos), "--out", str(tmp_path / "faces")]) == 3
    assert "pip install -e '.[detect]'" in capsys.readouterr().err
    assert not (tmp_path / "faces.partial").exists()


def start(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "synthface", "prepare", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def n_lines(journal: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return journal.read_bytes().count(b"\n")
    return 0


@pytest.mark.slow
@needs_detector
def test_a_run_that_is_killed_goes_on_and_ends_as_if_it_had_not_been(tmp_path):
    photos = put(
        tmp_path / "photos",
        {
            f"person {k // 4}/{k}.jpg": encoded(draw_face(centre=(110 + k % 30, 125), radius=40 + k % 7), "JPEG")
            for k in range(220)
        }
        | {"person 7/broken.jpg": b"no image", "person 50/broken.jpg": b"no image"},
    )
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert start(str(photos), "--out", str(whole)).wait() == 0
    journal = tmp_path / "stopped.partial" / "journal-0.jsonl"
    seen = 0
    for _ in range(2):  # killed twice, the second time a good deal further on
        process = start(str(photos), "--out", str(stopped))
        deadline = time.monotonic() + 1200
        while n_lines(journal) < seen + 40 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert n_lines(journal) >= seen + 40
        seen = n_lines(journal)
        assert not stopped.exists()
    assert start(str(photos), "--out", str(stopped), "--devices", "2").wait() == 0  # and finished by two
    assert contents(stopped) == contents(whole)
    assert len(FaceSet.load(stopped)) == 220
    assert len(left_out(stopped)) == 2


def test_a_set_by_others_is_prepared_as_what_it_is(tmp_path: Path) -> None:
    photos = put(tmp_path / "photos", {"a/1.png": coloured(10), "b/1.png": coloured(90)})
    command = ["prepare", str(photos), "--detector", "none", "--out"]
    assert main([*command, str(tmp_path / "real")]) == 0
    assert main([*command, str(tmp_path / "synthetic"), "--kind", "synthetic"]) == 0
    real, synthetic = FaceSet.load(tmp_path / "real"), FaceSet.load(tmp_path / "synthetic")
    assert (real.kind, synthetic.kind) == ("real", "synthetic")
    assert real.manifest_sha256 == synthetic.manifest_sha256  # the images are the same, and so are their lines
