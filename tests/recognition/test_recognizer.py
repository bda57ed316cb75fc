"""The recogniser: weights in and out, crops and scales, and embeddings that depend on the image alone."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from synthface.core.errors import ConfigError, DataError, WeightsError
from synthface.recognition import load_recognizer
from synthface.recognition.catalogue import CATALOGUE, CatalogueEntry
from synthface.recognition.embedding import MICRO_BATCH, embed_batches
from synthface.recognition.folding import folded_for_inference
from synthface.recognition.network_config import NetworkConfig, config_from_json
from synthface.recognition.networks.mobilefacenet import MobileFaceNet, initialise
from synthface.recognition.recognizer import Recognizer
from synthface.recognition.weights import write_network


@pytest.fixture
def recognizer(weights_file):
    return load_recognizer(weights_file)


def _images(n, side=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def test_weights_come_back_as_they_were_written(recognizer, weights_file, tmp_path):
    again = tmp_path / "again.safetensors"
    write_network(again, recognizer.network, about={"made_by": "test"})
    assert again.read_bytes() == weights_file.read_bytes()
    assert (recognizer.name, recognizer.input_size, recognizer.embedding_dim) == ("tiny", (32, 32), 16)
    assert len(recognizer.sha256) == 64
    assert not recognizer.training
    assert not any(parameter.requires_grad for parameter in recognizer.parameters())


def test_description_beside_a_foreign_file_is_read_and_its_hash_checked(recognizer, tmp_path):
    path = tmp_path / "foreign.safetensors"
    tensors = {k: v.contiguous() for k, v in recognizer.network.state_dict().items() if "num_batches" not in k}
    save_file(tensors, path)
    with pytest.raises(WeightsError, match=r"no foreign\.json beside it"):
        load_recognizer(path)
    description = {"architecture": "MobileFaceNet (a note)", "input_hw": [32, 32], "embedding_dim": 16, "width": 0.125}
    path.with_suffix(".json").write_text(json.dumps(description))
    images = _images(3)
    np.testing.assert_array_equal(load_recognizer(path).embed(images), recognizer.embed(images))
    path.with_suffix(".json").write_text(json.dumps(description | {"sha256": "0" * 64}))
    with pytest.raises(WeightsError, match="SHA-256"):
        load_recognizer(path)


def test_damaged_and_unknown_files_are_refused(tmp_path, recognizer):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a model")
    with pytest.raises(WeightsError, match="not a readable safetensors"):
        load_recognizer(broken)
    (tmp_path / "model.pkl").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"only \.safetensors"):
        load_recognizer(tmp_path / "model.pkl")
    with pytest.raises(WeightsError, match="mobilefacenet-ms1m"):
        load_recognizer("no-such-model")
    recognizer.network.stem.conv.weight.data[0] = torch.nan
    write_network(broken, recognizer.network, about={})
    with pytest.raises(WeightsError, match="NaN"):
        load_recognizer(broken)
    other = MobileFaceNet(NetworkConfig(input_size=(48, 48), embedding_dim=16, width=0.125))
    other.config = recognizer.network.config
    write_network(broken, other, about={})
    with pytest.raises(WeightsError, match=r"gdc\.conv\.weight"):
        load_recognizer(broken)


def test_a_missing_named_model_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHFACE_MODELS", str(tmp_path))
    with pytest.raises(WeightsError, match=rf"mobilefacenet_ms1m_112x112\.safetensors.*{tmp_path}"):
        load_recognizer("mobilefacenet-ms1m")
    (tmp_path / "mobilefacenet_ms1m_112x112.safetensors").write_bytes(b"other")
    with pytest.raises(WeightsError, match="SHA-256"):
        load_recognizer("mobilefacenet-ms1m")


def test_download_keeps_only_what_has_the_right_hash(tmp_path, monkeypatch, weights_file):
    from synthface.core.hashing import sha256_file

    monkeypatch.setenv("SYNTHFACE_MODELS", str(tmp_path / "none"))
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "cache"))

    def offer(sha256, url):
        entry = CatalogueEntry(file="downloaded.safetensors", sha256=sha256, url=url)
        monkeypatch.setitem(CATALOGUE, "test-model", entry)

    offer("0" * 64, weights_file.as_uri())
    with pytest.raises(WeightsError, match="nothing was kept"):
        load_recognizer("test-model")
    offer(sha256_file(weights_file), (tmp_path / "absent").as_uri())
    with pytest.raises(WeightsError, match="cannot be reached"):
        load_recognizer("test-model")
    assert not list((tmp_path / "cache" / "models").iterdir())
    offer(sha256_file(weights_file), weights_file.as_uri())
    assert load_recognizer("test-model").name == "test-model"
    weights_file.unlink()
    assert load_recognizer("test-model").embedding_dim == 16  # from the cache


def test_embedding_depends_on_the_image_alone(recognizer):
    images = _images(2 * MICRO_BATCH + 3)
    whole = recognizer.embed(images)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)
    for rows in ([5], [40 % len(images), 0, 17], range(len(images) - 1, -1, -1)):
        np.testing.assert_array_equal(recognizer.embed(images[list(rows)]), whole[list(rows)])
    assert recognizer.embed(images[:0]).shape == (0, 16)


def test_changed_weights_are_seen_and_unchanged_ones_folded_once(recognizer):
    images = _images(3)
    before, folded = recognizer.embed(images), recognizer.folded
    turned = {name: -value for name, value in recognizer.network.state_dict().items() if "bias" in name}
    recognizer.embed(images)
    assert recognizer.folded is folded
    assert not any("folded" in name for name, _ in recognizer.named_modules())
    for change in (
        lambda network: network.stem.conv.weight.mul_(-1),
        lambda network: next(m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)).running_mean.add_(1),
        lambda network: network.load_state_dict(turned, strict=False),
    ):
        change(recognizer.network)
        expected = Recognizer(recognizer.network, name="fresh").embed(images)
        np.testing.assert_array_equal(recognizer.embed(images), expected)
    assert not np.allclose(before, expected, atol=1e-3)


def test_a_recogniser_made_in_inference_mode_embeds(recognizer, weights_file):
    with torch.inference_mode():
        other = load_recognizer(weights_file)
        np.testing.assert_array_equal(other.embed(_images(3)), recognizer.embed(_images(3)))


@pytest.mark.parametrize("n_threads", [2, 3])
def test_embedding_does_not_depend_on_the_number_of_threads(recognizer, n_threads):
    images = np.random.default_rng(5).integers(0, 256, (70, 32, 32, 3), dtype=np.uint8)
    alone = recognizer.embed_with_norms(images)
    torch.set_num_threads(n_threads)
    side_by_side = recognizer.embed_with_norms(images)
    assert torch.get_num_threads() == n_threads
    for a, b in zip(alone, side_by_side, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_fails_in_a_thread_is_told_and_the_threads_come_back(recognizer):
    torch.set_num_threads(2)

    def broken():
        raise DataError("image 7 is damaged")

    good = np.zeros((4, 32, 32, 3), np.uint8)
    with pytest.raises(DataError, match="image 7"):
        list(embed_batches(recognizer, [lambda: good, broken, lambda: good]))
    assert torch.get_num_threads() == 2


def test_embed_equals_forward_and_norms_are_those_of_the_raw_embedding(recognizer):
    images = _images(5)
    raw = recognizer(torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1).numpy()
    unit, norms = recognizer.embed_with_norms(images)
    np.testing.assert_allclose(norms, np.linalg.norm(raw, axis=1), rtol=1e-5)
    np.testing.assert_allclose(unit * norms[:, None], raw, atol=1e-5)


def test_flip_adds_the_mirror(recognizer):
    images = _images(4)
    unit, norms = recognizer.embed_with_norms(images)
    mirror, mirror_norms = recognizer.embed_with_norms(images[:, :, ::-1])
    expected = unit * norms[:, None] + mirror * mirror_norms[:, None]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(recognizer.embed(images, flip=True), expected, atol=1e-6)
    np.testing.assert_array_equal(
        recognizer.embed(images, flip=True), recognizer.embed(images[:, :, ::-1].copy(), flip=True)
    )


def test_folding_keeps_the_function(recognizer):
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    folded = folded_for_inference(recognizer.network)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(x), recognizer.network(x), rtol=1e-4, atol=1e-5)


def test_narrow_networks_see_the_middle_columns():
    network = MobileFaceNet(NetworkConfig(input_size=(112, 96), embedding_dim=8, width=0.125))
    initialise(network, 0)
    recognizer = Recognizer(network, name="narrow")
    images = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1
    torch.testing.assert_close(recognizer.network_input(images), images[:, :, :, 8:104] * 127.5 / 128)
    changed = images.clone()
    changed[:, :, :, :8] = 0
    changed[:, :, :, 104:] = 0
    torch.testing.assert_close(recognizer(changed), recognizer(images))


def test_other_sizes_are_rescaled_and_gradients_reach_the_image(recognizer):
    images = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images.requires_grad_()
    recognizer(images).sum().backward()
    assert images.grad.abs().sum() > 0
    flat = torch.full((1, 3, 112, 112), 0.5)
    torch.testing.assert_close(recognizer(flat), recognizer(torch.full((1, 3, 32, 32), 0.5)), rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match="square"):
        recognizer(torch.zeros(1, 3, 112, 96))
    with pytest.raises(DataError, match="uint8"):
        recognizer.embed(np.zeros((1, 32, 32, 3), np.float32))


def test_configs_that_make_no_network_are_refused():
    for bad in ({"input_size": (100, 100)}, {"embedding_dim": 1}, {"width": 0}):
        with pytest.raises(ConfigError, match="--"):
            NetworkConfig(**bad)
    with pytest.raises(WeightsError, match="other networks"):
        config_from_json({"architecture": "ResNet"}, source="x.json")
    config = NetworkConfig(input_size=(64, 64), width=0.5, embed_bias=True)
    assert config_from_json(json.loads(json.dumps(config.to_json())), source="x") == config


@pytest.mark.shared
@pytest.mark.parametrize(("name", "size"), [("mobilefacenet-ms1m", (112, 112)), ("mobilefacenet-casia", (112, 96))])
def test_published_networks_load(shared, monkeypatch, name, size):
    monkeypatch.setenv("SYNTHFACE_MODELS", str(shared / "models"))
    recognizer = load_recognizer(name)
    assert recognizer.input_size == size
    assert recognizer.embedding_dim == 128
    images = _images(4, side=112)
    np.testing.assert_array_equal(recognizer.embed(images[2:3]), recognizer.embed(images)[2:3])
