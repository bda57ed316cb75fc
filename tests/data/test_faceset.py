import dataclasses
import errno
import json

import numpy as np
import pytest

from synthface.core.errors import ConfigError, DataError
from synthface.data import FaceRecord, FaceSet, FaceSetWriter
from synthface.data.image_cache import image_cache

RECORD = {"command": "test", "config": {"a": 1}, "seed": 0, "inputs": {}, "versions": {"python": "3"}}


def picture(value: int, side: int = 16) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def fill(writer: FaceSetWriter, names=("b/1", "a/1", "a/2")) -> None:
    for name in names:
        if not writer.done(f"images/{name}.png"):
            writer.add(f"images/{name}.png", picture(hash_of(name)), identity=name.split("/")[0], quality=0.5)
    if not writer.is_left_out("c/1.jpg"):
        writer.leave_out("c/1.jpg", "no face found")


def hash_of(name: str) -> int:
    return sum(name.encode()) % 256


def make(out, **options) -> FaceSet:
    with FaceSetWriter(out, kind="real", record=RECORD, **options) as writer:
        fill(writer)
        return writer.finish()


def contents(folder) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_set_reads_back_as_written(tmp_path):
    made = make(tmp_path / "set", extra={"role": "train"})
    assert (tmp_path / "set.partial").exists() is False
    faces = FaceSet.load(tmp_path / "set", kinds=["real"])
    assert faces.records == made.records
    assert [record.path for record in faces.records] == ["images/a/1.png", "images/a/2.png", "images/b/1.png"]
    assert faces.identities == ("a", "b")
    np.testing.assert_array_equal(faces.labels, [0, 0, 1])
    np.testing.assert_array_equal(faces.read_image(2), picture(hash_of("b/1")))
    assert faces.read_images([0, 2], 8, 8).shape == (2, 8, 8, 3)
    assert faces.read_images([], 8, 8).shape == (0, 8, 8, 3)
    assert faces.info["role"] == "train"
    assert (faces.info["n_images"], faces.info["n_identities"], faces.info["n_left_out"]) == (3, 2, 1)
    assert json.loads((faces.root / "left_out.jsonl").read_text()) == {"left_out": "c/1.jpg", "reason": "no face found"}


def test_the_same_inputs_give_the_same_bytes_in_any_order_and_number_of_processes(tmp_path):
    make(tmp_path / "one")
    with (
        FaceSetWriter(tmp_path / "two", kind="real", record=RECORD) as first,
        FaceSetWriter(tmp_path / "two", kind="real", record=RECORD, rank=1) as second,
    ):
        second.add("images/a/2.png", picture(hash_of("a/2")), identity="a", quality=0.5)
        second.leave_out("c/1.jpg", "no face found")
        first.add("images/b/1.png", picture(hash_of("b/1")), identity="b", quality=0.5)
        first.add("images/a/1.png", picture(hash_of("a/1")), identity="a", quality=0.5)
        second.close()
        first.finish()
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_stopped_run_goes_on_with_fewer_processes_and_ends_the_same(tmp_path):
    make(tmp_path / "one")
    for rank, name in ((0, "a/1"), (1, "b/1")):
        with FaceSetWriter(tmp_path / "two", kind="real", record=RECORD, rank=rank) as writer:
            writer.add(f"images/{name}.png", picture(hash_of(name)), identity=name[0], quality=0.5)
    journal = tmp_path / "two.partial" / "journal-1.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"path": "images/a/2.png", "ident')  # killed in mid-line
    (tmp_path / "two.partial" / "images" / "a" / "2.png").write_bytes(b"half an ima")  # and in mid-image
    with FaceSetWriter(tmp_path / "two", kind="real", record=RECORD) as writer:
        assert writer.done("images/a/1.png")
        assert writer.done("images/b/1.png")
        assert not writer.done("images/a/2.png")
        fill(writer)
        writer.finish()
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_run_stopped_between_its_last_two_steps_is_tidied(tmp_path):
    make(tmp_path / "set")
    before = contents(tmp_path / "set")
    (tmp_path / "set" / "journal-0.jsonl").write_text("{}\n")
    (tmp_path / "set" / "settings.json").write_text('"x"')
    assert FaceSetWriter(tmp_path / "set", kind="real", record=RECORD).is_complete
    assert contents(tmp_path / "set") == before


def test_making_it_again_changes_nothing_but_other_settings_are_refused(tmp_path):
    make(tmp_path / "set")
    before = contents(tmp_path / "set")
    again = FaceSetWriter(tmp_path / "set", kind="real", record={**RECORD, "versions": {"python": "4"}})
    assert again.is_complete
    assert len(again.finish()) == 3
    assert contents(tmp_path / "set") == before
    with pytest.raises(ConfigError, match="made otherwise"):
        FaceSetWriter(tmp_path / "set", kind="real", record={**RECORD, "config": {"a": 2}})
    with FaceSetWriter(tmp_path / "new", kind="real", record=RECORD) as writer:
        writer.leave_out("x", "y")
    with pytest.raises(ConfigError, match="begun with other settings"):
        FaceSetWriter(tmp_path / "new", kind="real", record={**RECORD, "seed": 1})
    (tmp_path / "photos").mkdir()
    with pytest.raises(ConfigError, match="not this FaceSet"):
        FaceSetWriter(tmp_path / "photos", kind="real", record=RECORD)


def test_an_image_and_a_left_out_source_of_the_same_name_are_two_things(tmp_path):
    with FaceSetWriter(tmp_path / "set", kind="real", record=RECORD) as writer:
        writer.leave_out("images/a/1.png", "no face found")
        assert not writer.done("images/a/1.png")
        writer.add("images/a/1.png", picture(1), identity="a")
        faces = writer.finish()
    assert (len(faces), faces.info["n_left_out"]) == (1, 1)


@pytest.mark.parametrize(
    ("path", "identity"),
    [("images/a/1.png", "a\tb"), ("images/a/1.png", "a" * 801), ("images/a\x85/1.png", "a"), ("images/../1.png", "a")],
)
def test_what_no_reader_takes_is_not_written(tmp_path, path, identity):
    record = FaceRecord(path=path, identity=identity, sha256="0" * 64, width=16, height=16)
    with FaceSetWriter(tmp_path / "set", kind="real", record=RECORD) as writer:
        with pytest.raises(DataError, match=r"set cannot hold an image of the source: .*; rename it there"):
            writer.add(path, picture(1), identity=identity)
        with pytest.raises(DataError, match="cannot hold"):
            writer.add_file(record, tmp_path / "photo.png")
        writer.add("images/a/1.png", picture(1), identity="a")
        assert [record.path for record in writer.finish().records] == ["images/a/1.png"]


def test_files_of_another_set_are_linked_with_their_record(tmp_path):
    source = make(tmp_path / "set")
    with FaceSetWriter(tmp_path / "part", kind="real", record=RECORD) as writer:
        for record in source.records[:2]:
            writer.add_file(record, source.root / record.path)
        part = writer.finish()
    assert part.records == source.records[:2]
    assert (part.root / part.records[0].path).samefile(source.root / source.records[0].path)
    with (
        FaceSetWriter(tmp_path / "none", kind="real", record=RECORD) as writer,
        pytest.raises(DataError, match="is missing"),
    ):
        writer.add_file(source.records[0], source.root / "absent.png")


def test_files_are_copied_where_links_are_not_possible(tmp_path, monkeypatch):
    source = make(tmp_path / "set")

    def refuse(self, target):
        raise OSError("cross-device link")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    with FaceSetWriter(tmp_path / "part", kind="real", record=RECORD) as writer:
        writer.add_file(source.records[0], source.root / source.records[0].path)
        part = writer.finish()
    np.testing.assert_array_equal(part.read_image(0), source.read_image(0))
    assert not (part.root / part.records[0].path).samefile(source.root / source.records[0].path)


def test_damage_is_noticed(tmp_path):
    faces = make(tmp_path / "set")
    (faces.root / faces.records[0].path).write_bytes((faces.root / faces.records[1].path).read_bytes())
    with pytest.raises(DataError, match="does not match its hash"):
        faces.read_image(0)
    (faces.root / faces.records[1].path).unlink()
    with pytest.raises(DataError, match="is missing"):
        faces.read_image(1)
    manifest = faces.root / "manifest.jsonl"
    text = manifest.read_text()
    manifest.write_text(text.replace('"identity":"a"', '"identity":"z"'))
    with pytest.raises(DataError, match="was changed"):
        FaceSet.load(faces.root)
    manifest.unlink()
    with pytest.raises(DataError, match="is missing"):
        FaceSet.load(faces.root)


def test_wrong_folders_are_named(tmp_path):
    with pytest.raises(DataError, match=r"--faces .*does not exist"):
        FaceSet.load(tmp_path / "absent", flag="--faces")
    with pytest.raises(DataError, match="not a FaceSet"):
        FaceSet.load(tmp_path)
    faces = make(tmp_path / "set")
    with pytest.raises(DataError, match="is a real FaceSet; this needs synthetic"):
        FaceSet.load(faces.root, kinds=["synthetic"])
    info = json.loads((faces.root / "faceset.json").read_text())
    (faces.root / "faceset.json").write_text(json.dumps({**info, "version": 99}))
    with pytest.raises(DataError, match="version 99"):
        FaceSet.load(faces.root)


def test_manifest_lines_round_trip_and_tolerate_later_fields():
    record = FaceRecord(path="p", identity="i", sha256="s", width=1, height=2, seed=0, code={"a": [0.5]})
    assert "generator" not in record.to_json()
    assert FaceRecord.from_json({**record.to_json(), "of_a_later_version": 1}) == record
    assert {field.name for field in dataclasses.fields(FaceRecord)} >= {"psi", "noise_mode", "landmarks"}


def test_the_image_cache_holds_every_image_once(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "cache"))
    faces = make(tmp_path / "set")
    pixels = image_cache(faces, 8, 8)
    np.testing.assert_array_equal(pixels, faces.read_images(range(3), 8, 8))
    assert isinstance(pixels, np.memmap)
    for record in faces.records:
        (faces.root / record.path).unlink()
    np.testing.assert_array_equal(image_cache(faces, 8, 8), pixels)  # no image is read a second time


def test_an_image_cache_that_finds_no_room_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "cache"))
    faces = make(tmp_path / "set")

    def until_it_is_full(numbers):
        yield 0
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        image_cache(faces, 8, 8, through=until_it_is_full)
    assert list((tmp_path / "cache" / "images").iterdir()) == []
    np.testing.assert_array_equal(image_cache(faces, 8, 8), faces.read_images(range(3), 8, 8))
