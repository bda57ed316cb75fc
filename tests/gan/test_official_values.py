"""The pickle machine: what torch, numpy and Python write is read exactly, and storages are checked."""

import io
import pickle
import pickletools
import struct
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch

from gan.official.stand_ins import NAMES
from gan.official.storage import Storage, read_storage, view_storage
from synthface.core.safe_pickle import PickleRefused, read_pickle


def _read(content: bytes) -> Any:
    return read_pickle(io.BytesIO(content), NAMES)


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool])
def test_tensors_are_read_as_torch_wrote_them(dtype: torch.dtype, protocol: int) -> None:
    whole = torch.arange(24).reshape(2, 3, 4).to(dtype)
    for tensor in (whole, whole[1:, :, 2], whole.permute(2, 0, 1), whole[0, 0, 0], whole[:0]):
        result = _read(pickle.dumps(tensor, protocol=protocol))
        np.testing.assert_array_equal(result, tensor.numpy(), strict=True)


def test_channels_last_parameters_are_read() -> None:
    weight = torch.nn.Parameter(torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last))
    np.testing.assert_array_equal(_read(pickle.dumps(weight)), weight.detach().numpy())


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_plain_values_are_read_as_python_wrote_them(protocol: int) -> None:
    shared = [1, 2]
    value = {
        "numbers": [0, 255, 256, 70_000, -5, 2**40, -(2**40), 0.25, True, False, None],
        "texts": ("", "a", "ä" * 300),
        "bytes": b"x" * 300,
        "nested": {"a": (1,), "b": (1, 2), "c": (1, 2, 3), "d": (1, 2, 3, 4), "e": ()},
        "same": [shared, shared],
        "ordered": OrderedDict(first=1, second=2),
        "set": {"x", "y"},
        "scalars": [np.float64(0.1), np.float32(0.5), np.int64(-3), np.bool_(True)],
    }
    result = _read(pickle.dumps(value, protocol=protocol))
    assert result == value
    assert list(result["ordered"]) == ["first", "second"]
    assert result["same"][0] is result["same"][1]


def test_scalars_of_older_numpy_are_read() -> None:
    content = pickle.dumps(np.float64(0.1), protocol=3)
    assert b"numpy._core.multiarray" in content
    assert _read(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")) == 0.1


def test_a_huge_memo_index_costs_nothing() -> None:
    assert _read(b"\x80\x02Nr\xff\xff\xff\x7f.") is None


def test_a_deeply_nested_value_is_harmless() -> None:
    value = _read(b"\x80\x02)" + b"\x85" * 100_000 + b".")
    assert isinstance(value, tuple)


def test_the_number_of_instructions_is_limited() -> None:
    with pytest.raises(PickleRefused, match="more than 100 instructions"):
        read_pickle(io.BytesIO(pickle.dumps(list(range(200)))), {}, max_instructions=100)


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (1_000_000, 1_000_000), (0, 0)),
        (0, (5,), (1,)),
        (3, (2,), (1,)),
        (0, (2, 2), (4, 1)),
        (-1, (1,), (1,)),
        (0, (-1,), (1,)),
        (0, (1,), (-1,)),
        (0, (2, 2), (1,)),
        (0, (True,), (1,)),
        (4, (), ()),
    ],
)
def test_tensors_outside_their_storage_are_refused(offset: int, size: Any, stride: Any) -> None:
    with pytest.raises(PickleRefused):
        view_storage(Storage(np.zeros(4, np.float32)), offset, size, stride)


def test_a_tensor_is_no_storage() -> None:
    """Seen as one, a view of few numbers in long steps would reach far beyond them."""
    view = view_storage(Storage(np.zeros(100, np.float32)), 99, (100,), (0,))
    with pytest.raises(PickleRefused, match="without a storage"):
        view_storage(view, 0, (100,), (1,))  # type: ignore[arg-type]
    named = [name for name, made in NAMES.items() if made in (view_storage, read_storage)]
    assert named == ["torch._utils _rebuild_tensor_v2", "torch.storage _load_from_bytes"]


def _storage_bytes(tensor: torch.Tensor) -> bytes:
    """Return the bytes of a tensor's storage out of the tensor's pickle."""
    (content,) = [value for _, value, _ in pickletools.genops(pickle.dumps(tensor)) if isinstance(value, bytes)]
    return content


def test_storages_that_lie_about_their_size_are_refused() -> None:
    content = _storage_bytes(torch.arange(3.0))
    np.testing.assert_array_equal(read_storage(content).numbers, [0, 1, 2])
    count = struct.pack("<q", 3)
    for changed in (
        content[:-1],
        content + b"\0",
        content.replace(count, struct.pack("<q", 4)),
        content.replace(b"K\x03", b"K\xff"),
        content.replace(b"FloatStorage", b"MagicStorage"),
        b"",
    ):
        assert changed != content
        with pytest.raises(PickleRefused):
            read_storage(changed)
