"""Damaged files of every format: each is read or refused with one line, never anything else.

A few cases a reader, shrunk by hypothesis where one fails; ``scripts/fuzz_readers.py`` runs ten thousand.
"""

import os
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthface.core.errors import SynthfaceError
from synthface.data.formats import VerificationBin, open_sink, open_source, write_verification_bin
from synthface.data.formats.sidecar import SIDECAR

READERS = ["recordio", "sidecar", "webdataset", "webdataset.gz", "parquet", "bin", "image", "folders", "detected"]
N_CASES = 150
SLOWEST_SECONDS = 20.0
INTERESTING = [
    b"\x00", b"\xff", b"\xff" * 4, b"\xff" * 8, b"\x00" * 512, b"\x7f\xff\xff\xff", b"\x00\x00\x00\x80", b"../" * 3,
    b"\x0a\x23\xd7\xce", b"e", b"]", b"(", b"q\x00", b"cos\nsystem\n", b"NaN", b"1e999", b"-1", b"[" * 3000, b"\n",
]  # fmt: skip

change = st.one_of(
    st.tuples(st.sampled_from(["set", "insert"]), st.floats(0, 1), st.binary(max_size=64)),
    st.tuples(st.sampled_from(["set", "insert"]), st.floats(0, 1), st.sampled_from(INTERESTING)),
    st.tuples(st.just("cut"), st.floats(0, 1), st.floats(0, 0.2)),
    st.tuples(st.just("end"), st.floats(0, 1), st.none()),
    st.tuples(st.just("repeat"), st.floats(0, 1), st.floats(0, 0.2)),
)  # fmt: skip


def damaged(content, changes):
    for kind, where, what in changes:
        # half of the changes near the start, where the structure is
        at = int(where * 2 * min(200, len(content))) if where < 0.5 else int((where - 0.5) * 2 * len(content))
        if kind == "set":
            content = content[:at] + what + content[at + len(what) :]
        elif kind == "insert":
            content = content[:at] + what + content[at:]
        elif kind == "cut":
            content = content[:at] + content[at + int(what * len(content)) :]
        elif kind == "repeat":
            content = content[:at] + content[at : at + int(what * len(content))] * 3 + content[at:]
        else:
            content = content[:at]
    return content


@pytest.fixture
def whole(tmp_path, items, images):
    """The bytes of a small, valid set in each format."""
    import gzip

    items = items[:3]
    for name in ("recordio", "webdataset", "parquet", "folders"):
        if name == "parquet":
            pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        (tmp_path / name).mkdir()
        sink = open_sink(name, tmp_path / name)
        for item in items:
            sink.add(item)
        sink.finish()
    with (tmp_path / "x.bin").open("wb") as stream:
        write_verification_bin(stream, [(images[0], images[1], True), (images[3], images[4], False)])
    tar = (tmp_path / "webdataset/shard-000000.tar").read_bytes()
    return {
        "recordio": (tmp_path / "recordio/train.rec").read_bytes(),
        "sidecar": (tmp_path / "recordio" / SIDECAR).read_bytes(),
        "webdataset": tar,
        "webdataset.gz": gzip.compress(tar, mtime=0),
        "parquet": next((tmp_path / "parquet/data").glob("*")).read_bytes(),
        "bin": (tmp_path / "x.bin").read_bytes(),
        "image": images[0],
        "folders": (tmp_path / "folders" / SIDECAR).read_bytes(),
        "detected": (tmp_path / "x.bin").read_bytes(),
        "rec": (tmp_path / "recordio/train.rec").read_bytes(),
    }


def read_all(reader, content, whole, folder):
    """Read a set with one damaged file to its end; return how many images it gave."""
    from synthface.data.formats import Item, detection

    file = folder / "set"
    if reader == "image":
        _ = Item(content, "a", "a.jpg").header
        return 1
    if reader in ("folders", "sidecar"):
        (folder / SIDECAR).write_bytes(content)
        if reader == "sidecar":
            (folder / "train.rec").write_bytes(whole["rec"])
        (folder / "a").mkdir()
        (folder / "a" / "b.jpg").write_bytes(whole["image"])
        return sum(1 for _ in open_source(folder).items())
    file.write_bytes(content)
    if reader == "bin":
        return len(list(VerificationBin.open(file).items()))
    if reader == "detected":
        return sum(1 for _ in open_source(file).items())
    return sum(1 for _ in detection.Source(file, reader.removesuffix(".gz"), (file,)).items())


@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_file_is_read_or_refused(reader, whole):
    messages = []
    n_read, slowest = 0, 0.0

    @settings(
        max_examples=N_CASES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.lists(change, min_size=1, max_size=6))
    def one(changes):
        nonlocal n_read, slowest
        content = damaged(whole[reader], changes)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "inside"
            folder.mkdir()
            before = time.perf_counter()
            try:
                read_all(reader, content, whole, folder)
                n_read += 1
            except SynthfaceError as error:
                messages.append(str(error))
            slowest = max(slowest, time.perf_counter() - before)
            assert os.listdir(name) == ["inside"]  # noqa: PTH208

    one()
    assert all(len(message.splitlines()) == 1 for message in messages)
    assert slowest < SLOWEST_SECONDS
    assert n_read + len(messages) >= N_CASES - 10  # hypothesis stops early only where it has tried everything
    assert len(messages) > 10  # the changes do damage
