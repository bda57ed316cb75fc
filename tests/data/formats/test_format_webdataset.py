"""WebDataset shards: against the library, laid out by hand, and hostile."""

import gzip
import io
import json
import tarfile

import pytest

from synthface.core.errors import DataError
from synthface.data.formats import Item, open_sink, open_source
from synthface.data.formats.webdataset import read_webdataset


def tar_by_hand(*members):
    """Write the 512-byte headers of POSIX.1-1988 (ustar) one field at a time."""
    blocks = []
    for name, content, *kind in members:
        typeflag = kind[0] if kind else b"0"
        size = kind[1] if len(kind) > 1 else len(content)
        header = (
            name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"0" * 11 + b"\0"
        )
        header += b" " * 8 + typeflag + b"/etc/passwd".ljust(100, b"\0") + b"ustar\x0000"
        header = header.ljust(512, b"\0")
        checksum = b"%06o\0 " % sum(header)
        blocks.append(header[:148] + checksum + header[156:] + content + b"\0" * (-len(content) % 512))
    return b"".join(blocks) + bytes(1024)


def read(tmp_path, content):
    shard = tmp_path / "x.tar"
    shard.write_bytes(content)
    return list(read_webdataset([shard]))


def test_a_shard_laid_out_by_hand_is_read(tmp_path, images):
    content = tar_by_hand(
        ("a/0001.jpg", images[0]), ("a/0001.cls", b"17"), ("a/0001.txt", b"not asked for"),
        ("a/0002.cls", b"3\n"), ("a/0002.json", b'{"identity": "Ann", "age": 30}'), ("a/0002.seg.png", b"", b"0"),
        ("a/0002.png", images[1]),
    )  # fmt: skip
    first, second = read(tmp_path, content)
    assert (first.content, first.label, first.identity, first.name) == (images[0], 17, "000017", "a/0001.jpg")
    assert (second.content, second.label, second.identity) == (images[1], 3, "Ann")
    assert second.fields == {"identity": "Ann", "age": 30}
    assert [item.label for item in read(tmp_path, gzip.compress(content))] == [17, 3]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # its own
def test_the_webdataset_library_reads_what_is_written(tmp_path, items):
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    sink = open_sink("webdataset", tmp_path, shard_size=5)
    for item in items:
        sink.add(item)
    sink.finish()
    shards = sorted(map(str, tmp_path.glob("*.tar")))
    assert [shard[-10:] for shard in shards] == ["000000.tar", "000001.tar", "000002.tar"]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False))
    assert [next(s[e] for e in ("jpg", "png", "webp") if e in s) for s in samples] == [i.content for i in items]
    assert [int(sample["cls"]) for sample in samples] == [k // 3 for k in range(12)]
    assert [json.loads(sample["json"])["fields"] for sample in samples] == [item.fields for item in items]
    decoded = list(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"))
    assert decoded[0]["jpg"].shape == (24, 24, 3)


def test_shards_of_the_webdataset_library_are_read(tmp_path, images):
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    with webdataset.TarWriter(str(tmp_path / "s-0.tar")) as writer:
        for k, image in enumerate(images[::3]):
            writer.write({"__key__": f"sample{k:04d}", "jpg": image, "cls": k, "json": {"k": k}})
    found = list(open_source(tmp_path).items())
    assert [(item.content, item.label, item.fields) for item in found] == [
        (image, k, {"k": k}) for k, image in enumerate(images[::3])
    ]


def test_equal_items_give_equal_bytes(tmp_path, items):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        sink = open_sink("webdataset", tmp_path / name)
        for item in items:
            sink.add(item)
        sink.finish()
    assert (tmp_path / "a/shard-000000.tar").read_bytes() == (tmp_path / "b/shard-000000.tar").read_bytes()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("../up.jpg", b"x")], "no path inside a set"),
        ([("/etc/up.jpg", b"x")], "no path inside a set"),
        ([("a.jpg", b"", b"2")], "a link or no regular file"),
        ([("a.jpg", b"", b"1")], "a link or no regular file"),
        ([("a.jpg", b"x", b"0", 8**10)], "more than 64 MB"),
        ([("a.jpg", b"x", b"x", 8**10)], "absurd size"),
        ([("a.cls", b"1")], "0 images"),
        ([("a.jpg", b"x"), ("a.png", b"x")], "2 images"),
        ([("a.jpg", b"x"), ("a.jpg", b"x")], "two files with the ending .jpg"),
        ([("a.jpg", b"x"), ("a.cls", b"-1")], "no whole number"),
        ([("a.jpg", b"x"), ("a.json", b"[1]")], "no JSON object"),
        ([("a.jpg", b"x"), ("a.json", b'{"label": NaN}')], "no JSON"),
        ([("a.jpg", b"x"), ("a.json", b"[" * 100_000)], "no JSON"),
        ([("a.jpg", b"x"), ("a.json", b'{"identity": "\\n"}')], "cannot be printed"),
        ([("a.jpg", b"x")], "who it shows"),
        ([("a.jpg", b"x"), ("a.json", b'{"identity":"a","name":"../b","sha256":"","fields":{}}')], "no path inside"),
    ],
)
def test_hostile_shards_are_refused_in_one_line(tmp_path, members, message):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, tar_by_hand(*members))
    assert "x.tar" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_compressed_bomb_is_refused_before_it_is_unpacked(tmp_path):
    stream = io.BytesIO()
    with gzip.open(stream, "wb", compresslevel=1) as archive:
        archive.write(tar_by_hand(("a.jpg", b"", b"x", 2**31))[:512])  # an extended header of 2 GB ...
        for _ in range(80):
            archive.write(bytes(2**20))  # ... of which 80 MB are there
    with pytest.raises(DataError, match="absurd size"):
        read(tmp_path, stream.getvalue())


def test_a_chain_of_extended_headers_is_refused(tmp_path):
    with pytest.raises(DataError, match="no whole tar archive"):
        read(tmp_path, tar_by_hand(*[("h", b"9 a=b\n\0\0\0", b"x")] * 3000, ("a.jpg", b"x")))


def test_truncated_shards_are_named(tmp_path, images):
    content = tar_by_hand(("a.jpg", images[0]), ("a.cls", b"1"))
    with pytest.raises(DataError, match=r"x\.tar"):
        read(tmp_path, content[:700])
    with pytest.raises(DataError, match=r"x\.tar"):
        read(tmp_path, gzip.compress(content)[:300])


def test_python_can_list_what_is_written(tmp_path, images):
    sink = open_sink("webdataset", tmp_path)
    sink.add(Item(images[0], "a", "n.jpg"))
    sink.finish()
    with tarfile.open(tmp_path / "shard-000000.tar") as archive:
        assert archive.getnames() == ["000000000.jpg", "000000000.cls", "000000000.json"]
        assert {member.mtime for member in archive} == {0}
