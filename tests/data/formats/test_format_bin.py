""".bin sets: every way that Pythons 2 and 3 pickle them, and pickles that want to run something."""

import io
import os
import pickle
import pickletools
import tracemalloc

import numpy as np
import pytest

from synthface.core.errors import DataError
from synthface.data.formats import VerificationBin, open_source, write_verification_bin

SAME = [True, False, True]


@pytest.fixture
def pair_images(images):
    return images[:6]


def read(tmp_path, content):
    path = tmp_path / "set.bin"
    path.write_bytes(content)
    found = VerificationBin.open(path)
    return list(found.read_images()), list(found.same)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("as_image", [bytes, bytearray, lambda b: np.frombuffer(b, np.uint8).copy()])
@pytest.mark.parametrize(
    "as_same",
    [list, np.array, lambda same: [np.bool_(s) for s in same], lambda same: [int(s) for s in same], tuple],
)
def test_every_python_3_pickle_of_such_a_set_is_read(tmp_path, pair_images, protocol, as_image, as_same):
    content = pickle.dumps(([as_image(image) for image in pair_images], as_same(SAME)), protocol=protocol)
    assert read(tmp_path, content) == (pair_images, SAME)


def test_python_2_pickles_are_read(tmp_path, pair_images):
    # protocol 2, laid out by hand: PROTO, lists with MARK and APPENDS, byte strings as BINSTRING or SHORT_BINSTRING
    def string(image):
        if len(image) < 256:
            return b"U" + bytes([len(image)]) + image
        return b"T" + len(image).to_bytes(4, "little") + image

    stored = [*pair_images[:5], b"short"]
    content = b"\x80\x02]q\x01(" + b"".join(string(image) + b"q" + bytes([k + 5]) for k, image in enumerate(stored))
    content += b"e]q\x02(" + b"".join(b"\x88" if same else b"\x89" for same in SAME) + b"e\x86q\x03."
    assert pickle.loads(content, encoding="bytes") == (stored, SAME)  # the oracle reads the same
    assert read(tmp_path, content) == (stored, SAME)


def test_python_2_text_pickles_are_read(tmp_path, pair_images):
    # protocol 0: S'...' with escapes, I01 for True, the list and the tuple made from what lies above a mark
    strings = "".join(f"S{str(image)[1:]}\np{k + 5}\na" for k, image in enumerate(pair_images)).encode()
    content = b"((lp1\n" + strings + b"(lp2\n" + b"".join(b"I01\na" if s else b"I00\na" for s in SAME) + b"tp0\n."
    assert pickle.loads(content, encoding="bytes") == (pair_images, SAME)
    assert read(tmp_path, content) == (pair_images, SAME)


def test_what_is_written_is_what_pickle_reads(tmp_path, pair_images):
    stream = io.BytesIO()
    n = write_verification_bin(stream, zip(pair_images[::2], pair_images[1::2], SAME, strict=True))
    assert n == 3
    assert pickle.loads(stream.getvalue()) == (pair_images, SAME)
    pickletools.dis(stream.getvalue(), out=io.StringIO())  # checks stack and marks
    assert read(tmp_path, stream.getvalue()) == (pair_images, SAME)


def test_images_stay_in_the_file(tmp_path, pair_images):
    path = tmp_path / "set.bin"
    path.write_bytes(pickle.dumps(([bytes(pair_images[0]) * 2000, *pair_images[1:]], SAME), 4))
    found = VerificationBin.open(path)
    assert all(type(place).__name__ == "Span" for place in found._images)


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("where", ["image", "same", "top"])
def test_nothing_is_executed(tmp_path, pair_images, protocol, where):
    proof = tmp_path / "proof"
    evil = Evil(os.mkdir, str(proof))
    value = {
        "image": ([*pair_images[:5], evil], SAME),
        "same": (pair_images, [True, True, evil]),
        "top": evil,
    }[where]
    with pytest.raises(DataError, match="nothing in it was executed") as caught:
        read(tmp_path, pickle.dumps(value, protocol))
    assert not proof.exists()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"images": 1}), "not a pair of lists"),
        (pickle.dumps([1, 2, 3]), "not a pair of lists"),
        (pickle.dumps(([b"a", b"b", b"c"], [True])), "3 images for 1 pairs"),
        (pickle.dumps(([b"a", 7], [True])), "image 1 is no image file"),
        (pickle.dumps(([b"a", b"b"], [2])), "True and False"),
        (pickle.dumps(([b"a", b"b"], [])), "which pairs are the same"),
        (pickle.dumps(([np.zeros(2), b"b"], [True])), "not bytes or truth values"),
        (b"\x80\x03]B\xff\xff\xff\xff.", "ends too early"),
        (b"\x80\x04\x8e" + b"\xff" * 8, "ends too early"),
        (b"\x80\x03](e" + b"." * 3, "not a pair"),
        (b"\x80\x03c" + b"os\nsystem\n.", "asks for os.system"),
        (b"\x80\x03", "ends too early"),
        (b"\x80\x03e.", "damaged"),
        (b"(\xfe", "unknown instruction"),
    ],
)
def test_damage_is_named_in_one_line(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, content)
    assert "set.bin" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bomb_of_repeated_references_costs_nothing(tmp_path):
    # each step makes a list of the last list twice: 2**40 leaves if anybody walked them
    bomb = b"\x80\x03]q\x00" + b"".join(b"](h%c h%ceq%c" % (k, k, k + 1) for k in range(40)).replace(b" ", b"") + b"."
    with pytest.raises(DataError):
        read(tmp_path, bomb)


def shared_bomb(images, n):
    """Return a set of n images by their pickle words, all pairs mated."""
    return b"\x80\x02](" + images + b"e](" + b"\x88" * (n // 2) + b"e\x86."


TEXT = b"X" + (2**20).to_bytes(4, "little") + b"a" * 2**20 + b"q\x01"
LISTS = b"\x80\x02](" + b"](" + b"N" * 2**18 + b"eq\x01" + b"h\x01" * 999 + b"e."


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        # _codecs.encode(text, "latin1") again and again, with a text and arguments out of the memo
        (
            shared_bomb(
                b"c_codecs\nencode\nq\x00" + TEXT + b"X\x06\x00\x00\x00latin1\x86q\x03" + b"h\x00h\x03R" * 1000, 1000
            ),
            "more of its values than it holds",
        ),
        (shared_bomb(TEXT + b"h\x01" * 999, 1000), None),  # the text itself, which is an image by Python 2
        (LISTS, "not a pair of lists"),
    ],
)
def test_a_value_that_is_used_a_thousand_times_is_in_memory_once(tmp_path, content, refusal):
    path = tmp_path / "set.bin"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        if refusal:
            with pytest.raises(DataError, match=refusal):
                VerificationBin.open(path)
        else:
            assert len(VerificationBin.open(path).same) == 500
        assert tracemalloc.get_traced_memory()[1] < 30 * 2**20  # a thousand copies would take a gigabyte
    finally:
        tracemalloc.stop()


def test_a_text_that_is_no_bytes_is_refused(tmp_path):
    with pytest.raises(DataError, match="a text where bytes should be"):
        read(tmp_path, pickle.dumps((["\u674e", b"b"], [True])))


def test_people_are_what_mated_pairs_and_equal_images_tie_together(tmp_path, images):
    a, b, c, d, e = images[:5]
    path = tmp_path / "set.bin"
    path.write_bytes(pickle.dumps(([a, b, b, c, d, a, e, d], [True, True, False, False])))
    first, *others = VerificationBin.open(path).identities()
    assert others[:3] == [first] * 3  # a-b and b-c
    assert others[4] == first  # a again
    assert others[3] == others[6] != first  # d twice
    assert len({first, *others}) == 3


def test_folds_are_cut_as_evenly_as_numpy_cuts_them(tmp_path, images):
    path = tmp_path / "set.bin"
    path.write_bytes(pickle.dumps(([images[0]] * 46, [True] * 23)))
    folds = np.array(VerificationBin.open(path).folds())
    for fold, test in enumerate(np.array_split(np.arange(23), 10)):
        np.testing.assert_array_equal(np.flatnonzero(folds == fold), test)


def test_the_file_is_known_by_its_content(tmp_path, pair_images):
    path = tmp_path / "anything"
    path.write_bytes(pickle.dumps((pair_images, SAME)))
    source = open_source(path)
    assert source.format == "bin"
    assert [item.name for item in source.items()][:2] == ["images/0000000a.jpg", "images/0000000b.png"]
