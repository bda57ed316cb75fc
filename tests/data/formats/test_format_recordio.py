"""RecordIO against its description: files laid out by hand, and a reader of this test's own."""

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthface.core.errors import DataError
from synthface.data.formats import Item, open_source
from synthface.data.formats.recordio import MAGIC, RecordIOSink, read_record, read_recordio, write_record


def by_hand(part, data):
    return struct.pack("<II", 0xCED7230A, part << 29 | len(data)) + data + b"\0" * (-len(data) % 4)


def header(flag, label, key):
    return struct.pack("<I", flag) + struct.pack("<f", label) + struct.pack("<QQ", key, 0)


def lay_out(tmp_path, records):
    """Write records (key, bytes as they stand in the file) with their index."""
    offset, lines = 0, []
    for key, record in records:
        lines.append(f"{key}\t{offset}\n")
        offset += len(record)
    (tmp_path / "train.rec").write_bytes(b"".join(record for _, record in records))
    (tmp_path / "train.idx").write_text("".join(lines))
    return tmp_path / "train.rec"


def insightface_reader(folder):
    """Read as InsightFace's data set does: index, record 0, then the keys below its first label."""
    content = (folder / "train.rec").read_bytes()
    index = dict(tuple(map(int, line.split())) for line in (folder / "train.idx").read_text().splitlines())

    def record(key):
        at, parts = index[key], []
        while True:
            magic, word = struct.unpack_from("<II", content, at)
            assert magic == 0xCED7230A
            length, part = word & (1 << 29) - 1, word >> 29
            parts.append(content[at + 8 : at + 8 + length])
            at += 8 + (length + 3) // 4 * 4
            if part in (0, 3):
                data = struct.pack("<I", 0xCED7230A).join(parts)
                flag, label, _, _ = struct.unpack_from("<IfQQ", data)
                labels = struct.unpack_from(f"<{flag}f", data, 24) if flag else [label]
                return flag, labels, data[24 + 4 * flag :]

    flag, labels, _ = record(0)
    assert flag > 0
    images = [(int(record(key)[1][0]), record(key)[2]) for key in range(1, int(labels[0]))]
    ranges = [tuple(map(int, record(key)[1])) for key in range(int(labels[0]), int(labels[1]))]
    return images, ranges


def test_a_file_laid_out_by_hand_is_read(tmp_path, images):
    rec = lay_out(
        tmp_path,
        [
            (0, by_hand(0, header(2, 0, 0) + struct.pack("<2f", 4, 6))),
            (1, by_hand(0, header(0, 7, 1) + images[0])),
            (2, by_hand(0, header(2, 0, 2) + struct.pack("<2f", 7, 0.5) + images[1])),  # label and one thing more
            (3, by_hand(0, header(0, 12, 3) + images[3])),
            (4, by_hand(0, header(2, 0, 4) + struct.pack("<2f", 1, 3))),
            (5, by_hand(0, header(2, 0, 5) + struct.pack("<2f", 3, 4))),
        ],
    )
    found = list(read_recordio(rec))
    assert [(item.label, item.identity, item.content) for item in found] == [
        (7, "000007", images[0]),
        (7, "000007", images[1]),
        (12, "000012", images[3]),
    ]
    (tmp_path / "train.idx").unlink()
    assert list(read_recordio(rec)) == found


def test_the_index_gives_the_order_and_keys_may_lack_a_header(tmp_path, images):
    rec = lay_out(tmp_path, [(k, by_hand(0, header(0, k, k) + images[k])) for k in range(3)])
    lines = (tmp_path / "train.idx").read_text().splitlines(keepends=True)
    (tmp_path / "train.idx").write_text("".join(reversed(lines)))
    assert [item.label for item in read_recordio(rec)] == [2, 1, 0]


def test_records_in_parts_are_put_together_with_the_magic_word(tmp_path):
    first, middle, last = b"\xff" * 8, b"", b"abcde"
    content = header(0, 3, 0) + first + MAGIC + middle + MAGIC + last
    rec = lay_out(tmp_path, [(0, by_hand(1, header(0, 3, 0) + first) + by_hand(2, middle) + by_hand(3, last))])
    assert [item.content for item in read_recordio(rec)] == [content[24:]]
    stream = io.BytesIO()
    write_record(stream, content)
    assert stream.getvalue() == rec.read_bytes()


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.lists(st.sampled_from([MAGIC, MAGIC[:1], MAGIC[1:], b"x", b"\0\0\0\0", b""]), max_size=12).map(b"".join))
def test_any_data_comes_back(data):
    stream = io.BytesIO()
    assert write_record(stream, data) == len(stream.getvalue())
    written = stream.getvalue()
    assert len(written) % 4 == 0
    # no reader that looks for the word at multiples of four may find one inside a record
    heads, at = [], 0
    while at < len(written):
        heads.append(at)
        at += 8 + (struct.unpack_from("<I", written, at + 4)[0] & (1 << 29) - 1 + 0) + 3 & ~3
    words = [at for at in range(0, len(written), 4) if written[at : at + 4] == MAGIC]
    assert words == heads
    stream.seek(0)
    assert read_record(stream) == data
    assert read_record(stream) is None


def test_what_is_written_is_read_by_insightfaces_rules(tmp_path, items):
    sink = RecordIOSink(tmp_path)
    for item in items:
        sink.add(item)
    sink.finish()
    images, ranges = insightface_reader(tmp_path)
    assert images == [(k // 3, item.content) for k, item in enumerate(items)]
    assert ranges == [(1, 4), (4, 7), (7, 10), (10, 13)]
    assert (tmp_path / "property").read_text() == "4,24,24\n"


def test_identities_in_several_runs_have_no_ranges(tmp_path, images):
    sink = RecordIOSink(tmp_path)
    for k in (0, 1, 2):
        sink.add(Item(images[k], "ab"[k % 2], f"{k}.jpg"))
    sink.finish()
    found, ranges = insightface_reader(tmp_path)
    assert [label for label, _ in found] == [0, 1, 0]
    assert ranges == []


def test_labels_of_a_source_are_kept(tmp_path, images):
    sink = RecordIOSink(tmp_path)
    sink.add(Item(images[0], "000040", "a.jpg", 40))
    with pytest.raises(DataError, match="identity 000040 with label 41"):
        sink.add(Item(images[0], "000040", "b.jpg", 41))
    with pytest.raises(DataError, match="give that label to 000040"):
        sink.add(Item(images[0], "other", "b.jpg", 40))
    with pytest.raises(DataError, match=r"exact to 2\^24"):
        sink.add(Item(images[0], "big", "b.jpg", 2**24))
    sink.finish()
    assert insightface_reader(tmp_path)[0] == [(40, images[0])]
    assert (tmp_path / "property").read_text().startswith("41,")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0" * 40, "wrong magic number"),
        (by_hand(0, b"short"), "shorter than its header"),
        (by_hand(0, header(9999, 0, 0)), "shorter than its 9999 labels"),
        (by_hand(2, header(0, 0, 0)), "part number 2"),
        (by_hand(1, header(0, 0, 0)) + by_hand(0, b""), "part number 0"),
        (struct.pack("<II", 0xCED7230A, (1 << 29) - 1), "more than 64 MB"),
        (by_hand(0, header(0, 0, 0) + b"xyz")[:-3], "ends inside a record"),
        (by_hand(0, header(0, float("nan"), 0) + b"x"), "no whole number"),
        (by_hand(0, header(0, -1, 0) + b"x"), "no whole number"),
        (by_hand(0, header(0, 0, 0)), "holds no image"),
    ],
)
def test_damage_is_named_in_one_line(tmp_path, content, message):
    rec = tmp_path / "train.rec"
    rec.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        list(read_recordio(rec))
    assert str(rec) in str(caught.value)
    assert "record 0" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_index_of_another_file_is_named(tmp_path, images):
    rec = lay_out(tmp_path, [(0, by_hand(0, header(0, 1, 0) + images[0]))])
    for text, message in (("0\t99999\n", "cut short"), ("zero\t0\n", "not '<key>"), ("0 4\n", "magic")):
        (tmp_path / "train.idx").write_text(text)
        with pytest.raises(DataError, match=message):
            list(read_recordio(rec))


def test_a_folder_with_two_sets_asks_which(tmp_path):
    for name in ("a.rec", "b.rec"):
        (tmp_path / name).write_bytes(MAGIC)
    with pytest.raises(DataError, match="name the one"):
        open_source(tmp_path)


def test_a_set_of_more_images_than_a_float_counts_is_read(tmp_path, images):
    """As Glint360K: record 0 says some 17 million, rounded; the identities' ranges stand behind the images."""
    first = struct.pack("<ff", 17_091_658.0, 17_452_000.0)
    ranges = struct.pack("<ff", 1.0, 2.0)
    rec = lay_out(
        tmp_path,
        [
            (0, by_hand(0, header(2, 0.0, 0) + first)),
            (1, by_hand(0, header(0, 7.0, 1) + images[0])),
            (17_091_658, by_hand(0, header(2, 0.0, 2) + ranges)),
        ],
    )
    (item,) = read_recordio(rec)
    assert (item.identity, item.content) == ("000007", images[0])


def test_an_index_that_names_a_record_again_and_again_is_refused(tmp_path, images):
    rec = lay_out(tmp_path, [(1, by_hand(0, header(0, 7.0, 1) + images[0]))])
    (tmp_path / "train.idx").write_text("".join(f"{key}\t0\n" for key in range(1, 2000)))
    with pytest.raises(DataError, match=r"record 2: the \.idx names records more than once"):
        list(read_recordio(rec))
