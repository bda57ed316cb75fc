"""Tar archives against the standard library's, in both directions, and what it would let pass."""

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthface.core.errors import DataError
from synthface.data.formats.tar import read_members, write_end, write_member

names = st.text(st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs", "Cc"]), min_size=1)
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "GNU": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def by_the_library(files, kind, **more):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in more.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def read(content, limit=lambda _: 2**20):
    return list(read_members(io.BytesIO(content), limit))


def test_archives_are_the_librarys_byte_for_byte():
    files = [
        ("000000000.jpg", bytes(range(256)) * 5),
        ("000000000.cls", b"7"),
        ("000000000.json", b""),
        ("a", b"x" * 512),
    ]
    stream = io.BytesIO()
    for name, content in files:
        write_member(stream, name, content)
    write_end(stream)
    assert stream.getvalue() == by_the_library(files, tarfile.USTAR_FORMAT)


@pytest.mark.parametrize("kind", FORMATS)
@given(st.lists(st.tuples(names, st.binary(max_size=1500)), max_size=6))
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_archives_of_the_library_are_read(kind, files):
    files = [(name[:80] if kind == "ustar" else name * 3, content) for name, content in files]
    files = [(name, content) for name, content in files if len(name.encode()) <= 100 or kind != "ustar"]
    assert read(by_the_library(files, FORMATS[kind])) == files


def test_long_names_and_folders():
    files = [("f" * 90 + "/" + "g" * 90 + ".jpg", b"1"), ("李" * 60 + ".jpg", b"2"), ("short.jpg", b"3")]
    for kind in FORMATS.values():
        some = files[::2] if kind == tarfile.USTAR_FORMAT else files
        assert read(by_the_library(some, kind)) == some
    folder = by_the_library([("images", b"")], tarfile.PAX_FORMAT, type=tarfile.DIRTYPE)
    assert read(folder[:512] + by_the_library(files, tarfile.GNU_FORMAT)) == files


def test_what_is_not_wanted_is_passed_over():
    files = [("a.mp4", b"v" * 5000), ("a.jpg", b"i" * 700), ("b.mp4", b""), ("b.jpg", b"j")]
    content = by_the_library(files, tarfile.PAX_FORMAT)
    assert read(content, lambda name: 1000 if name.endswith("jpg") else None) == files[1::2]
    links = by_the_library([("l.mp4", b"")], tarfile.GNU_FORMAT, type=tarfile.SYMTYPE, linkname="/etc/passwd")
    assert read(links[:512] + content, lambda name: 1000 if name.endswith("jpg") else None) == files[1::2]


def test_a_size_in_binary_is_read():
    content = bytearray(by_the_library([("a", b"hello")], tarfile.GNU_FORMAT))
    content[124:136] = b"\x80" + (5).to_bytes(11, "big")
    content[148:156] = b"%06o\0 " % (sum(content[:148]) + 8 * 32 + sum(content[156:512]))
    assert read(bytes(content)) == [("a", b"hello")]


def test_damage_in_the_middle_is_not_taken_for_the_end():
    content = bytearray(by_the_library([("a", b"1"), ("b", b"2"), ("c", b"3")], tarfile.USTAR_FORMAT))
    content[1024] ^= 1  # the name of the second member
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert archive.getnames() == ["a"]
    with pytest.raises(DataError, match="wrong checksum"):
        read(bytes(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (by_the_library([("a", b"x" * 600)], tarfile.GNU_FORMAT)[:900], "ends inside a"),
        (by_the_library([("a", b"x")], tarfile.GNU_FORMAT)[:100], "ends inside a header"),
        (by_the_library([("a", b"x")], tarfile.GNU_FORMAT)[:1024], "without its end mark: cut short between two files"),
        (b"", "without its end mark"),
        (by_the_library([("a", b"x" * 2000)], tarfile.GNU_FORMAT), "more than 0 MB"),
        (by_the_library([("a", b"x")], tarfile.GNU_FORMAT, type=tarfile.GNUTYPE_SPARSE), "no regular file"),
        (by_the_library([("a", b"x")], tarfile.GNU_FORMAT, type=tarfile.FIFOTYPE), "no regular file"),
        (by_the_library([("a", b"x")], tarfile.PAX_FORMAT, pax_headers={"GNU.sparse.size": "9"}), "sparse"),
        (by_the_library([("a", b"x")], tarfile.PAX_FORMAT, pax_headers={"size": "-1"}), "wrong size"),
        (by_the_library([("a", b"999 path=x\n")], tarfile.USTAR_FORMAT, type=tarfile.XHDTYPE), "damaged extended"),
        (by_the_library([("a", b"x" * 2**17)], tarfile.USTAR_FORMAT, type=tarfile.GNUTYPE_LONGNAME), "absurd size"),
        (b"no archive " * 60, "something else where a number"),
    ],
)
def test_refusals(content, message):
    with pytest.raises(DataError, match=message):
        read(content, lambda _: 1000)


def test_a_cut_is_noticed_also_in_what_is_passed_over():
    content = by_the_library([("a.mp4", b"v" * 50_000)], tarfile.USTAR_FORMAT)[:20_000]
    with pytest.raises(DataError, match=r"ends inside a\.mp4"):
        read(content, lambda _: None)
