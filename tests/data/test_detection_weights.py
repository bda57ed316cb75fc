import importlib.util
import shutil

import numpy as np
import pytest
import torch

from synthface.core.errors import WeightsError
from synthface.core.hashing import sha256_bytes
from synthface.data.detection import weights
from synthface.data.detection.networks import normalise

pytest.importorskip("joblib")
if importlib.util.find_spec("mtcnn") is None:
    pytest.skip("the detect extra is not installed", allow_module_level=True)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path))
    return tmp_path / "detector" / "mtcnn-1.0.0.safetensors"


def test_weights_are_converted_once_and_remade_if_damaged(own_cache, monkeypatch):
    first = weights.load_cascade().state_dict()
    assert sha256_bytes(own_cache.read_bytes()) == weights.CONVERTED_SHA256
    assert sum(tensor.numel() for tensor in first.values()) == 495_850  # as in the authors' three networks
    content = own_cache.read_bytes()
    own_cache.write_bytes(content[:-1] + b"x")
    weights.load_cascade()
    assert own_cache.read_bytes() == content
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name, tensor in weights.load_cascade().state_dict().items():  # the package is no longer needed
        assert torch.equal(tensor, first[name])


def test_without_the_package_the_message_says_what_to_install(own_cache, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"pip install -e '\.\[detect\]'.*--detector none"):
        weights.load_cascade()


def test_a_changed_pickle_is_never_loaded(own_cache, tmp_path, monkeypatch):
    import joblib

    folder = tmp_path / "wheel"
    shutil.copytree(weights.find_wheel_weights(), folder)
    content = (folder / "pnet.lz4").read_bytes()
    (folder / "pnet.lz4").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    monkeypatch.setattr(joblib, "load", lambda file: pytest.fail("an unchecked pickle was loaded"))
    with pytest.raises(WeightsError, match="is not the file of mtcnn"):
        weights.convert_wheel(folder)
    (folder / "pnet.lz4").unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.convert_wheel(folder)


def test_the_package_is_found_without_importing_it():
    import sys

    weights.find_wheel_weights()
    assert "mtcnn" not in sys.modules


class WheelNetwork:
    """The output network as plain numpy over the wheel's own arrays, in their own order."""

    def __init__(self, arrays):
        self.arrays = list(arrays)

    def conv(self, x):  # [H, W, C]
        kernel, bias, slope = (self.arrays.pop(0) for _ in range(3))
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(0, 1))  # [H, W, C, kh, kw]
        return prelu(np.einsum("hwcij,ijco->hwo", windows, kernel, dtype=np.float64) + bias, slope.ravel())

    def dense(self, x):
        return x @ self.arrays.pop(0).astype(np.float64) + self.arrays.pop(0)

    def __call__(self, x):
        x = pool(self.conv(x), 3)
        x = pool(self.conv(x), 3)
        x = pool(self.conv(x), 2)
        x = self.conv(x).transpose(1, 0, 2).ravel()
        x = prelu(self.dense(x), self.arrays.pop(0))
        return self.dense(x), self.dense(x), self.dense(x)


def prelu(x, slope):
    return np.where(x > 0, x, x * slope)


def pool(x, size):
    n_rows, n_columns = (-(-(n - size) // 2) + 1 for n in x.shape[:2])  # the last window may hang over
    rows = [
        [x[2 * i : 2 * i + size, 2 * j : 2 * j + size].max(axis=(0, 1)) for j in range(n_columns)]
        for i in range(n_rows)
    ]
    return np.array(rows)


def test_the_output_network_equals_the_slow_version_in_the_wheels_order(own_cache):
    import joblib

    crop = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    slow_box, slow_points, slow_face = WheelNetwork(joblib.load(weights.find_wheel_weights() / "onet.lz4"))(
        (crop.astype(np.float64) - 127.5) / 128
    )
    face, box, points = weights.load_cascade().output(normalise(torch.from_numpy(crop[None])))
    np.testing.assert_allclose(box[0].numpy(), slow_box, atol=1e-5)
    np.testing.assert_allclose(points[0].numpy().T.ravel(), slow_points, atol=1e-5)
    np.testing.assert_allclose(face[0].item(), 1 / (1 + np.exp(slow_face[0] - slow_face[1])), atol=1e-6)
