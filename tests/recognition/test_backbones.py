"""IResNet, PocketNet and other people's recognisers: counts, outputs of the outside code, files that are refused."""

import math
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from synthface.core.errors import ConfigError, WeightsError
from synthface.recognition import load_recognizer
from synthface.recognition.catalogue import find_weights
from synthface.recognition.folding import folded_for_inference
from synthface.recognition.network_config import ARCHITECTURES, NetworkConfig
from synthface.recognition.networks.build import build_network
from synthface.recognition.recognizer import Recognizer
from synthface.recognition.weights import write_network


def _filled(state):
    """Weights by a formula, so that the numbers of another implementation can stand here."""
    filled = {}
    for k, (name, tensor) in enumerate(sorted(state.items())):
        wave = torch.sin(torch.arange(tensor.numel(), dtype=torch.float64) * 0.7 + k).view(tensor.shape)
        if name.endswith("num_batches_tracked"):
            continue
        if name.endswith("running_var"):
            value = 1 + 0.3 * wave
        elif tensor.ndim > 1:
            value = wave * math.sqrt(4 / tensor[0].numel())
        elif name.endswith("weight") and "prelu" not in name:
            value = 1 + 0.2 * wave
        else:
            value = 0.1 * wave + (0.25 if "prelu" in name else 0)
        filled[name] = value.to(tensor.dtype)
    return filled


# Outputs of InsightFace's arcface_torch (iresnet.py at 7fadd420) with these weights and this image; D = 16, and 512 of
# IResNet-50.
OUTSIDE = {
    "IResNet-18": [-2.14934, -2.25223, -2.41837, -2.45641, -2.3672, -2.22722],
    "IResNet-34": [-1.20836, -1.17387, -1.15576, -1.08548, -1.00778, -0.96405],
    "IResNet-50": [-1.30345, -1.25847, -1.22738, -1.13408, -1.02708, -0.95467],
    "IResNet-100": [-8.73566, -8.45611, -8.17011, -7.09284, -5.37178, -3.5128],
}


def _counters(state):
    return {name: tensor for name, tensor in state.items() if name.endswith("num_batches_tracked")}


@pytest.mark.parametrize(
    "name",
    [
        "IResNet-18",
        "IResNet-34",
        pytest.param("IResNet-50", marks=pytest.mark.slow),
        pytest.param("IResNet-100", marks=pytest.mark.slow),
    ],
)
def test_iresnet_reads_insightface_files_and_computes_the_same(name, tmp_path):
    dim = 512 if name == "IResNet-50" else 16
    network = build_network(NetworkConfig(architecture=name, embedding_dim=dim))
    state = _filled(network.state_dict())
    torch.save(
        {f"module.{key}": value for key, value in (state | _counters(network.state_dict())).items()}, tmp_path / "r.pth"
    )
    recognizer = load_recognizer(tmp_path / "r.pth")
    assert recognizer.network.config == network.config
    image = torch.sin(torch.arange(2 * 3 * 112 * 112, dtype=torch.float64) * 0.013).view(2, 3, 112, 112)[:1].float()
    with torch.no_grad():
        out = recognizer(image)[0]
        folded = folded_for_inference(recognizer.network)(image)[0]
    np.testing.assert_allclose(out[:6].numpy(), OUTSIDE[name], rtol=1e-5, atol=1e-5 + 5e-6)  # of five decimals
    torch.testing.assert_close(folded, out, rtol=1e-3, atol=1e-3)


def test_iresnet_100_has_the_published_shape():
    with torch.device("meta"):
        from synthface.recognition.networks.iresnet import IResNet

        network = IResNet(NetworkConfig(architecture="IResNet-100", embedding_dim=512))
    assert sum(parameter.numel() for parameter in network.parameters()) == 65_156_160  # as the outside code counts
    assert {"layer3.29.bn3.running_var", "layer4.0.downsample.1.weight", "features.weight"} <= set(network.state_dict())


def test_other_pth_files_are_refused_without_running_them(tmp_path):
    class Evil:
        def __reduce__(self):
            return (sys.exit, (7,))

    torch.save({"layer1": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="tensors alone"):
        load_recognizer(tmp_path / "evil.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="IResNet-18, -34, -50 or -100"):
        load_recognizer(tmp_path / "other.pth")
    for content in (b"", b"\x80\x02abcd"):
        (tmp_path / "torn.pth").write_bytes(content)
        with pytest.raises(WeightsError, match="tensors alone"):
            load_recognizer(tmp_path / "torn.pth")
    (tmp_path / "broken.pth").write_bytes(b"x")
    with pytest.raises(WeightsError, match="tensors alone"):
        load_recognizer(tmp_path / "broken.pth")


@pytest.mark.parametrize(
    ("name", "dim", "count"),
    [("S", 128, 925_632), ("S", 256, 991_424), ("M", 128, 1_686_656), ("M", 256, 1_752_448)],
)
def test_pocketnet_has_the_published_parameter_counts(name, dim, count):
    network = build_network(NetworkConfig(architecture=f"PocketNet-{name}", embedding_dim=dim))
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_pocketnet_s_128_costs_the_published_587_million_operations():
    network = build_network(NetworkConfig(architecture="PocketNet-S", embedding_dim=128)).eval()
    operations = {nn.Conv2d: 0, nn.BatchNorm2d: 0, nn.PReLU: 0}

    def kind(module):
        return next((kind for kind in operations if isinstance(module, kind)), None)

    def count(module, given, out):
        each = 2 * module.weight[0].numel() if isinstance(module, nn.Conv2d) else 2
        operations[kind(module)] += out[0].numel() * (1 if isinstance(module, nn.PReLU) else each)

    for module in network.modules():
        if kind(module):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 3, 112, 112))
    assert sum(operations.values()) == pytest.approx(587e6, rel=0.005)  # multiplications and additions count as two


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_trains_folds_and_survives_its_file(name, tmp_path):
    if name in ("IResNet-34", "IResNet-50", "IResNet-100"):
        pytest.skip("as IResNet-18, but larger")
    config = NetworkConfig(architecture=name, input_size=(32, 32), embedding_dim=16)
    network, again = build_network(config, seed=3), build_network(config, seed=3)
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    out = network(x)
    out.square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.requires_grad)
    torch.testing.assert_close(again(x), out, rtol=1e-5, atol=1e-5)
    write_network(tmp_path / "n.safetensors", network, about={})
    loaded = load_recognizer(tmp_path / "n.safetensors").network
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), network(x))
        torch.testing.assert_close(folded_for_inference(network)(x), network(x), rtol=1e-3, atol=1e-3)


def test_configs_of_no_architecture_are_refused():
    with pytest.raises(ConfigError, match="--network"):
        NetworkConfig(architecture="ResNet-50")
    with pytest.raises(ConfigError, match="only MobileFaceNet and PatchResNet"):
        NetworkConfig(architecture="IResNet-18", width=0.5)


class _Theirs(nn.Module):
    def __init__(self, dim=7):
        super().__init__()
        self.linear = nn.Linear(3, dim)

    def forward(self, x):
        return self.linear(x.mean(dim=(2, 3)))


@pytest.fixture
def their_package(monkeypatch):
    module = types.ModuleType("their_faces")
    torch.manual_seed(0)
    module.make = _Theirs
    module.not_a_module = lambda: 3
    module.flat = lambda: nn.Flatten(0)
    monkeypatch.setitem(sys.modules, "their_faces", module)
    return module


def test_a_recogniser_by_import_string(their_package):
    recognizer = load_recognizer("their_faces:make")
    weights = find_weights("their_faces:make")
    assert (recognizer.embedding_dim, recognizer.input_size) == (7, (112, 112))
    assert recognizer.sha256 == weights.sha256
    assert recognizer.name == "their_faces.make"
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    assert recognizer.embed(images).shape == (3, 7)
    for name, message in (("make_none", "cannot be imported"), ("not_a_module", "returned int"), ("flat", "must map")):
        with pytest.raises(WeightsError, match=message):
            load_recognizer(f"their_faces:{name}")
    with pytest.raises(WeightsError, match="cannot be imported"):
        load_recognizer("no_such_package_of_faces:make")


def test_a_compiled_patchresnet_learns_what_a_plain_one_does():
    """While compiling, its activations are written in other words; under autocast too, as --half trains."""
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    config = NetworkConfig(architecture="PatchResNet", input_size=(32, 32), width=0.25, embedding_dim=8)
    gradients = []
    for half in (False, True):
        for compiled in (False, True):
            network = build_network(config, seed=0).train()
            if compiled:
                network.compile(backend="aot_eager", fullgraph=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                network(images).float().square().sum().backward()
            gradients.append(torch.cat([parameter.grad.flatten() for parameter in network.parameters()]))
    plain, compiled, plain_half, compiled_half = gradients
    torch.testing.assert_close(compiled, plain, atol=1e-5 * float(plain.abs().max()), rtol=0)
    # 8 bits of precision; to be near each other is all that can be asked
    assert torch.cosine_similarity(compiled_half, plain_half, dim=0) > 0.99


def test_onnx_without_onnxruntime_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "r.onnx").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(WeightsError, match="pip install onnxruntime"):
        load_recognizer(tmp_path / "r.onnx")


def test_onnx_runs_through_the_runtime(tmp_path, monkeypatch):
    """A stand-in for onnxruntime with its interface: one image at a time, as many exported files want it."""
    calls = []

    class Session:
        def __init__(self, path, providers):
            calls.append(path)

        def get_inputs(self):
            return [types.SimpleNamespace(name="input.1", shape=[1, 3, 112, 112])]

        def run(self, outputs, inputs):
            assert inputs["input.1"].shape == (1, 3, 112, 112)
            return [inputs["input.1"].mean(axis=(2, 3))]

    monkeypatch.setitem(sys.modules, "onnxruntime", types.SimpleNamespace(InferenceSession=Session))
    (tmp_path / "r.onnx").write_bytes(b"x")
    recognizer = load_recognizer(tmp_path / "r.onnx")
    images = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    unit, norms = recognizer.embed_with_norms(images)
    expected = (images / 127.5 - 1).mean(axis=(1, 2))
    np.testing.assert_allclose(unit * norms[:, None], expected, atol=1e-5)
    with pytest.raises(WeightsError, match="no gradient"):
        recognizer(torch.zeros(1, 3, 112, 112, requires_grad=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_real_onnx_file_gives_the_networks_embeddings(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    pytest.importorskip("onnx", reason="torch writes ONNX files by way of it")
    network = build_network(NetworkConfig(embedding_dim=16, width=0.125), seed=0).eval()
    torch.onnx.export(
        network,
        (torch.zeros(2, 3, 112, 112),),
        tmp_path / "tiny.onnx",
        dynamic_axes={"images": {0: "n"}},
        input_names=["images"],
        dynamo=False,
    )
    images = np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), dtype=np.uint8)
    ours, theirs = Recognizer(network, name="ours"), load_recognizer(tmp_path / "tiny.onnx")
    assert theirs.embedding_dim == 16
    for flip in (False, True):
        np.testing.assert_allclose(theirs.embed(images, flip=flip), ours.embed(images, flip=flip), atol=1e-5)
