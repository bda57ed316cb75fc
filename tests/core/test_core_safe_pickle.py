"""What the calls of a pickle return is bounded by the pickle's own size."""

import io
import pickle
from typing import Any

import pytest

from synthface.core.safe_pickle import PickleRefused, read_pickle

NAMES = {
    "_codecs encode": lambda text, encoding: text.encode(encoding),
    "builtins set": set,
    "__builtin__ bytes": bytes,
}


def read(content: bytes) -> Any:
    return read_pickle(io.BytesIO(content), NAMES)


def test_a_pickle_whose_every_byte_was_encoded_by_a_call_is_read() -> None:
    value = [bytes([k]) * 1000 for k in range(20)] + [b"", b"\x00", b"\x00"]
    assert read(pickle.dumps(value, protocol=2)) == value


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (b"c_codecs\nencode\n", b"X\x00\x10\x00\x00" + b"a" * 4096 + b"X\x06\x00\x00\x00latin1\x86"),
        (b"cbuiltins\nset\n", b"](" + b"".join(b"X\x02\x00\x00\x00%02d" % k for k in range(100)) + b"e\x85"),
    ],
)
def test_calls_that_make_much_of_one_argument_are_refused(call: bytes, argument: bytes) -> None:
    once = b"\x80\x02](" + call + b"q\x00" + argument + b"q\x01R"
    assert len(read(once + b"e.")) == 1
    with pytest.raises(PickleRefused, match="more of its values than it holds"):
        read(once + b"h\x00h\x01R" * 1000 + b"e.")


def test_a_call_that_hands_its_argument_on_makes_nothing() -> None:
    content = (
        b"\x80\x03](c__builtin__\nbytes\nq\x00B\x00\x10\x00\x00"
        + b"a" * 4096
        + b"\x85q\x01R"
        + b"h\x00h\x01R" * 9
        + b"e."
    )
    assert read(content) == [b"a" * 4096] * 10
