import bz2
import gzip
import io
import lzma
import os
import shutil
import tarfile

import numpy as np
import pytest

from synthface.core.errors import DataError
from synthface.data import sources
from synthface.data.formats import Item, open_sink
from synthface.data.images import encode_png
from synthface.data.sources import list_source, read_files


def write_tar(path, members, *, compress=None):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            elif isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    path.write_bytes(compress(stream.getvalue()) if compress else stream.getvalue())
    return path


def write_header(path, size):
    """Write an archive of one header, with the bytes of its size as given."""
    head = bytearray(tarfile.TarInfo("a").tobuf())
    head[124:136] = size
    head[148:156] = b"%06o\0 " % (sum(head) - sum(head[148:156]) + 8 * 32)
    path.write_bytes(bytes(head))
    return path


def link(name, target, kind=tarfile.SYMTYPE):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return name, member


def read_all(files):
    return {file.name: content for file, content in read_files(files)}


def problems(files):
    return {file.name: file.problem for file in files if file.problem}


def test_a_folder_is_listed_in_order_of_names_at_every_depth(tmp_path):
    for name in ("b/2.jpg", "b/10.jpg", "a/x/1.jpg", "a/0.jpg", "c.jpg", "李 雷/照片.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    files = list_source(tmp_path)
    assert [file.name for file in files] == ["a/0.jpg", "a/x/1.jpg", "b/10.jpg", "b/2.jpg", "c.jpg", "李 雷/照片.jpg"]
    assert read_all(files) == {file.name: file.name.encode() for file in files}
    assert [file.n_bytes for file in files] == [len(file.name.encode()) for file in files]


def test_links_never_lead_round_in_circles(tmp_path):
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "1.jpg").write_bytes(b"1")
    (tmp_path / "ann" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "ann" / "self.jpg").symlink_to("self.jpg")
    (tmp_path / "ann" / "gone.jpg").symlink_to("nowhere")
    (tmp_path / "ann" / "2.jpg").symlink_to("1.jpg")
    files = list_source(tmp_path)
    found = problems(files)
    assert set(found) == {"ann/loop", "ann/self.jpg", "ann/gone.jpg"}
    assert "link to a folder" in found["ann/loop"]
    assert found["ann/self.jpg"] == found["ann/gone.jpg"] == "a link that leads nowhere"
    assert read_all(files)["ann/2.jpg"] == b"1"
    (tmp_path / "door").symlink_to(tmp_path / "ann")  # a SOURCE itself may be a link
    assert [file.name for file in list_source(tmp_path / "door")][:2] == ["1.jpg", "2.jpg"]


def test_what_is_no_file_is_listed_and_not_opened(tmp_path, monkeypatch):
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    (tmp_path / "big").write_bytes(b"12345")
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 4)
    files = list_source(tmp_path)
    found = problems(files)
    assert found["empty/deeper/"] == "empty folder"
    assert found["pipe"] == "not a regular file"
    assert found["big"].startswith("larger than")
    assert all(isinstance(content, DataError) for content in read_all(files).values())


def test_a_file_that_vanishes_is_reported(tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"1")
    files = list_source(tmp_path)
    (tmp_path / "1.jpg").unlink()
    assert "cannot be read" in str(read_all(files)["1.jpg"])


@pytest.mark.parametrize("compress", [None, gzip.compress, bz2.compress, lzma.compress])
def test_archives_are_read_compressed_or_not(tmp_path, compress):
    members = [("./ann/1.jpg", b"one"), ("ann/2.jpg", b"two" * 1000), ("bo/1.jpg", b"three")]
    path = write_tar(tmp_path / "photos", members, compress=compress)
    files = list_source(path)
    assert read_all(files) == {"ann/1.jpg": b"one", "ann/2.jpg": b"two" * 1000, "bo/1.jpg": b"three"}
    assert read_all(files[::-1]) == read_all(files)


@pytest.mark.parametrize("compress", [None, gzip.compress])
@pytest.mark.parametrize("long", [False, True])
def test_no_photo_behind_a_damaged_header_is_dropped_in_silence(tmp_path, compress, long):
    name = "x" * 150 if long else "x"  # a long name has a header of its own in front
    members = [(f"ann/{name}{k}.jpg", bytes([k]) * 700) for k in range(5)]
    whole = write_tar(tmp_path / "whole.tar", members).read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as archive:
        third = archive.getmembers()[2].offset
    flipped = bytearray(whole)
    flipped[third + 3] ^= 0x10
    last = len(whole.rstrip(b"\0")) // 512 * 512 + 512
    for damaged in (flipped, whole[:third], whole[: third + 100], whole[: third + 512], whole[:last]):
        path = tmp_path / "damaged.tar"
        path.write_bytes(compress(damaged) if compress else damaged)
        with pytest.raises(
            DataError, match=r"neither a folder nor a whole tar archive .* at byte|unexpected end of data"
        ):
            list_source(path)
    (tmp_path / "one.tar").write_bytes(whole[: last + 512])  # some programs write one block of zeros, not two
    assert len(list_source(tmp_path / "one.tar")) == 5


def test_names_that_leave_an_archive_and_links_are_refused(tmp_path):
    path = write_tar(
        tmp_path / "photos.tar",
        [
            ("../outside.jpg", b"1"),
            ("ann/../../outside.jpg", b"2"),
            ("/etc/outside.jpg", b"3"),
            link("ann/link.jpg", "/etc/passwd"),
            link("ann/hard.jpg", "ann/1.jpg", tarfile.LNKTYPE),
            ("ann/1.jpg", b"fine"),
            ("nobody", None),
            ("ann", None),
        ],
    )
    files = list_source(path)
    found = problems(files)
    for name in ("../outside.jpg", "ann/../../outside.jpg", "/etc/outside.jpg"):
        assert found.pop(name) == "its name leads out of the archive"
    assert found.pop("ann/link.jpg") == found.pop("ann/hard.jpg") == "a link inside an archive, not followed"
    assert found == {"nobody/": "empty folder"}
    assert [content for content in read_all(files).values() if isinstance(content, bytes)] == [b"fine"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["photos.tar"]  # nothing was extracted


def test_a_later_member_replaces_an_earlier_one_as_when_extracting(tmp_path):
    path = write_tar(tmp_path / "photos.tar", [("a/1.jpg", b"old"), ("a/2.jpg", b"2"), ("a/1.jpg", b"new!")])
    assert read_all(list_source(path)) == {"a/1.jpg": b"new!", "a/2.jpg": b"2"}


def test_names_in_other_encodings_become_valid_text(tmp_path):
    folder = os.fsencode(tmp_path) + b"/jos\xe9"
    os.mkdir(folder)  # noqa: PTH102
    with open(folder + b"/1.jpg", "wb") as stream:  # noqa: PTH123
        stream.write(b"1")
    files = list_source(tmp_path)
    assert files[0].name == r"jos\xe9/1.jpg"
    assert read_all(files) == {r"jos\xe9/1.jpg": b"1"}


def test_sources_that_are_none_say_so(tmp_path):
    with pytest.raises(DataError, match=r"absent does not exist"):
        list_source(tmp_path / "absent")
    for content in (b"", b"words" * 1000, b"\x1f\x8bbroken"):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(DataError, match="neither a folder nor a whole tar archive"):
            list_source(tmp_path / "file")
    huge = write_header(tmp_path / "huge.tar", b"\x80" + b"\x7f" * 11)  # a size beyond any offset
    with pytest.raises(DataError, match="neither a folder nor a whole tar archive"):
        list_source(huge)
    whole = write_tar(tmp_path / "whole.tar", [("a/1.jpg", b"x" * 5000), ("a/2.jpg", b"y" * 5000)]).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:8000])
    with pytest.raises(DataError, match="neither a folder nor a whole tar archive"):
        list_source(tmp_path / "cut.tar")


@pytest.fixture
def labelled(tmp_path):
    """A RecordIO set of six records."""
    (tmp_path / "set").mkdir()
    sink = open_sink("recordio", tmp_path / "set")
    for k in range(6):
        sink.add(Item(encode_png(np.full((4, 4, 3), k, np.uint8)), f"p{k // 2}", f"{k}.png"))
    sink.finish()
    return tmp_path / "set"


def test_a_labelled_set_is_read_forward_and_begun_anew_for_an_earlier_record(labelled):
    files = list_source(labelled)
    assert [(file.name, file.identity) for file in files] == [(f"{k}.png", f"p{k // 2}") for k in range(6)]
    expected = read_all(files)
    for order in ([1, 2, 5], [4, 0, 0, 3]):
        read = list(read_files(files[k] for k in order))
        assert [(file.name, content) for file, content in read] == [(f"{k}.png", expected[f"{k}.png"]) for k in order]


def test_a_table_beside_photos_makes_them_no_labelled_set(tmp_path):
    for name in ("ann/1.jpg", "metadata.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"content")
    assert [file.name for file in list_source(tmp_path)] == ["ann/1.jpg", "metadata.parquet"]


def test_a_labelled_set_that_changes_between_listing_and_reading_is_refused(labelled):
    files = list_source(labelled)
    shutil.rmtree(labelled)
    labelled.mkdir()
    with pytest.raises(DataError, match="was changed while it was read"):
        read_all(files)
