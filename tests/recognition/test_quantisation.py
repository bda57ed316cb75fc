"""Simulated quantisation against torch's own, the watched ranges, and recognisers of few bits."""

import json
import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from synthface.core.errors import ConfigError, WeightsError
from synthface.recognition import load_recognizer
from synthface.recognition.network_config import NetworkConfig
from synthface.recognition.networks.build import build_network
from synthface.recognition.quantisation import (
    ActivationQuantiser,
    QuantisedLayer,
    fake_quantise,
    quantise_weight,
    quantised_weights,
)
from synthface.recognition.training.run_folder import TrainingFolder
from synthface.recognition.weights import write_network
from synthface.workflows import train_recognizer
from synthface.workflows.train_recognizer import Options


@pytest.mark.parametrize("bits", [3, 4, 6, 8])
def test_weights_are_rounded_as_torch_rounds_them(bits):
    w = torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(0)) + 0.3
    flat = w.flatten(1)
    scale = (2**bits - 1) / (flat.amax(1) - flat.amin(1))
    zero = -(torch.round(scale * flat.amin(1)) + 2 ** (bits - 1))
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    expected = torch.fake_quantize_per_channel_affine(w, 1 / scale, zero.int(), 0, low, high)
    got = quantise_weight(w, bits)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)
    step = (1 / scale).view(-1, 1, 1, 1)
    assert ((got - w).abs() <= step).all()
    assert max(len(channel.round(decimals=5).unique()) for channel in got) <= 2**bits
    torch.testing.assert_close(fake_quantise(got, *_range(w), bits), got, rtol=1e-5, atol=1e-6)


def _range(w):
    flat = w.flatten(1)
    return flat.amin(1).view(-1, 1, 1, 1), flat.amax(1).view(-1, 1, 1, 1)


def test_error_falls_with_bits_and_the_gradient_passes():
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)).requires_grad_()
    low, high = torch.tensor(-2.0), torch.tensor(2.0)
    errors = [(fake_quantise(x, low, high, bits) - x.clamp(-2, 2)).abs().mean().item() for bits in (2, 3, 4, 6, 8)]
    assert errors == sorted(errors, reverse=True)
    assert torch.autograd.grad(fake_quantise(x, low, high, 4).sum(), x)[0].eq(1).all()
    assert fake_quantise(torch.zeros(1), low, high, 4).item() == 0
    cosine = F.cosine_similarity(quantise_weight(x.detach().view(10, 100), 8), x.detach().view(10, 100)).min()
    assert cosine > 0.9998
    with pytest.raises(ConfigError, match="bits"):
        fake_quantise(x, low, high, 1)


def test_ranges_are_watched_frozen_and_kept():
    quantiser = ActivationQuantiser(8, freeze_after=2)
    quantiser(torch.tensor([1.0, 2.0]))
    assert (quantiser.low.item(), quantiser.high.item()) == (0.0, 2.0)
    quantiser(torch.tensor([-1.0, 1.0]))
    quantiser(torch.tensor([9.0]))  # too late
    assert (quantiser.low.item(), quantiser.high.item(), int(quantiser.step)) == (-1.0, 2.0, 2)
    again = ActivationQuantiser(8, freeze_after=2)
    again.load_state_dict(quantiser.state_dict())
    x = torch.linspace(-1, 2, 50)
    assert torch.equal(again(x), quantiser(x))
    fresh = ActivationQuantiser(8).eval()
    fresh(x)
    assert fresh.high.item() == 0  # looking does not count


def _network(bits=None):
    config = NetworkConfig(architecture="PatchResNet", input_size=(32, 32), embedding_dim=16, width=0.25, bits=bits)
    return build_network(config, seed=0)


def _images(n=24):
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_a_network_of_rounded_layers_nears_the_float_one_with_more_bits():
    exact = _network().train()(_images())
    cosines = []
    for bits in (2, 4, 6, 8):
        rounded = _network(bits)
        assert isinstance(rounded.stem, QuantisedLayer)
        assert not any(type(child) is torch.nn.Conv2d for child in rounded.blocks[0].children())
        cosines.append(F.cosine_similarity(rounded.train()(_images()), exact).mean().item())
    assert cosines == sorted(cosines)
    assert cosines[0] < 0.9 < 0.995 < cosines[-1]


@pytest.mark.parametrize("bits", [3, 8])
def test_a_rounded_network_is_written_as_codes_and_computes_the_same_from_them(tmp_path, bits):
    network = _network(bits).train()
    network(_images())  # the ranges of the activations are seen
    network.eval()
    write_network(tmp_path / "low.safetensors", network, about={})
    write_network(tmp_path / "float.safetensors", _network(), about={})
    assert (tmp_path / "low.safetensors").stat().st_size < 0.55 * (tmp_path / "float.safetensors").stat().st_size
    recognizer = load_recognizer(tmp_path / "low.safetensors")
    assert recognizer.network.config.bits == bits
    loaded = quantised_weights(recognizer.network)
    for (name, layer), before in zip(loaded.items(), quantised_weights(network).values(), strict=True):
        assert all(len(channel.unique()) <= 2**bits for channel in layer.layer.weight), name
        used, meant = (quantise_weight(each.layer.weight, bits).detach() for each in (layer, before))
        torch.testing.assert_close(used, meant, rtol=1e-5, atol=1e-6)
    with torch.no_grad():  # an activation that lies between two levels may be rounded the other way
        expected = network(_images())
        assert F.cosine_similarity(recognizer.network(_images()), expected).min() > 0.999
        assert F.cosine_similarity(recognizer.folded(_images()), expected).min() > 0.999


def _without_ranges(tensors):
    del tensors["stem.layer.weight.ranges"]


def _one_more_level(tensors):
    tensors["stem.layer.weight.codes"][0, 0, 0, 0] = 16


def _codes_of_floats(tensors):
    tensors["stem.layer.weight.codes"] = tensors["stem.layer.weight.codes"].float()


def _ranges_upside_down(tensors):
    tensors["stem.layer.weight.ranges"] = tensors["stem.layer.weight.ranges"].flip(1)


def _ranges_of_bool(tensors):
    tensors["stem.layer.weight.ranges"] = tensors["stem.layer.weight.ranges"].bool()


def _range_without_zero(tensors):
    tensors["stem.input.low"] += 1


@pytest.mark.parametrize(
    "damage",
    [_without_ranges, _one_more_level, _codes_of_floats, _ranges_upside_down, _ranges_of_bool, _range_without_zero],
)
def test_codes_that_do_not_fit_are_refused(tmp_path, damage):
    network = _network(4)
    write_network(tmp_path / "low.safetensors", network, about={})
    tensors, about = load_file(tmp_path / "low.safetensors"), json.dumps({"network": network.config.to_json()})
    damage(tensors)
    save_file(tensors, tmp_path / "torn.safetensors", metadata={"synthface": about})
    with pytest.raises(WeightsError, match=r"stem\.layer\.weight has no (codes of 4 bits|range about 0)"):
        load_recognizer(tmp_path / "torn.safetensors")


@pytest.mark.parametrize("half", [False, True])
def test_a_layer_takes_in_rounded_values_and_leaves_its_weight_alone(half):
    for plain, x in ((torch.nn.Conv2d(3, 4, 3), torch.randn(8, 3, 9, 9)), (torch.nn.Linear(9, 4), torch.randn(50, 9))):
        layer, weight = QuantisedLayer(plain, 3), plain.weight
        seen = x.detach().clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = layer(seen)
        ends = x.amin().clamp_max(0), x.amax().clamp_min(0)
        rounded = fake_quantise(x, *ends, 3)
        assert len(rounded.unique()) <= 8
        with torch.no_grad():
            plain.weight.copy_(quantise_weight(weight, 3))
        torch.testing.assert_close(out, plain(rounded))
        assert plain.weight is weight
        out.sum().backward()
        assert seen.grad.abs().sum() > 0 < weight.grad.abs().sum()
    assert isinstance(_network(3).embed, QuantisedLayer)


def test_embeddings_do_not_depend_on_threads(tmp_path):
    network = _network(4).train()
    network(_images())
    write_network(tmp_path / "low.safetensors", network, about={})
    pixels = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3), dtype=np.uint8)
    embedded = []
    for n_threads in (1, 2, 2):
        torch.set_num_threads(n_threads)
        recognizer = load_recognizer(tmp_path / "low.safetensors")
        embedded.append(recognizer.embed(pixels))
        assert all(isinstance(layer.layer.weight, torch.nn.Parameter) for layer in _layers(recognizer.folded))
    torch.set_num_threads(1)
    assert all(np.array_equal(embedded[0], other) for other in embedded[1:])


def _layers(network):
    return quantised_weights(network).values()


TINY = {"input_size": 32, "width": 0.25, "embedding_dim": 16, "batch": 16, "augment": "flip", "lr": 0.05}


def _options(faceset, out, weights, **changes):
    about = {"faces": faceset.root, "out": out, "strategy": "transfer", "teacher": str(weights), "init": str(weights)}
    return Options(**(about | {"epochs": 2, "batch": 16, "lr": 0.01, "augment": "flip"} | changes))


def test_a_student_that_begins_as_its_teacher_learns_to_be_rounded(make_faceset, weights_file, tmp_path):
    faces = make_faceset("faces", identities=8)
    train_recognizer.run(Options(faces=faces.root, out=tmp_path / "teacher", epochs=40, **TINY))
    last = {}
    for bits in (None, 8, 3):
        run = tmp_path / f"bits-{bits}"
        train_recognizer.run(_options(faces, run, tmp_path / "teacher", bits=bits, epochs=16))
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        last[bits] = [line["transfer"] for line in lines]
        record = json.loads((run / "run.json").read_text())["made_by"]
        assert record["config"].get("bits") == bits
        assert set(record["inputs"]) == {"faces", "teacher", "init"}
        assert (record["config"]["input_size"], record["config"]["width"]) == (32, 0.25)  # the file's
        assert load_recognizer(run).embedding_dim == 16
    assert last[None][-1] < 0.05  # it was the teacher
    assert last[8][-1] == pytest.approx(last[None][-1], abs=0.005)
    assert 0.2 < last[3][-1] < 0.8 * max(last[3])


def test_a_rounded_training_goes_on_where_it_stopped(make_faceset, weights_file, tmp_path, monkeypatch):
    faces = make_faceset("faces", identities=8)
    whole = _options(faces, tmp_path / "whole", weights_file, bits=4, epochs=4)
    train_recognizer.run(whole)
    cut = replace(whole, out=tmp_path / "cut")
    saved = TrainingFolder.save

    def stop_after_two(self, fabric, trainer):
        saved(self, fabric, trainer)
        if trainer.next_epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingFolder, "save", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        train_recognizer.run(cut)
    monkeypatch.setattr(TrainingFolder, "save", saved)
    train_recognizer.run(cut)
    first, second = (load_file(run / "recognizer.safetensors") for run in (tmp_path / "whole", tmp_path / "cut"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_cannot_be_rounded_is_said(make_faceset, weights_file, tmp_path):
    faces = make_faceset("faces")
    with pytest.raises(ConfigError, match="--bits 9: give 2 to 8"):
        train_recognizer.run(_options(faces, tmp_path / "run", weights_file, bits=9))
    with pytest.raises(ConfigError, match="without --half"):
        _options(faces, tmp_path / "run", weights_file, bits=4, half=True)
    with pytest.raises(ConfigError, match=r"--width 0\.5: --init .*tiny\.safetensors has 0\.125; leave --width out"):
        train_recognizer.run(_options(faces, tmp_path / "run", weights_file, width=0.5))
    with pytest.raises(WeightsError, match="--init nobody: neither a file nor a known name"):
        train_recognizer.run(_options(faces, tmp_path / "run", weights_file, init="nobody"))
    with pytest.raises(ConfigError, match="give a file of this project's own networks"):
        train_recognizer.run(_options(faces, tmp_path / "run", weights_file, init="torch.nn:Identity"))
    with pytest.raises(ConfigError, match="only an IResNet has one"):
        train_recognizer.run(_options(faces, tmp_path / "run", weights_file, dropout=0.2))
    train_recognizer.run(_options(faces, tmp_path / "agrees", weights_file, width=0.125, epochs=1))
    train_recognizer.run(_options(faces, tmp_path / "low", weights_file, bits=4))
    with pytest.raises(ConfigError, match="not rounded yet"):
        train_recognizer.run(_options(faces, tmp_path / "run", tmp_path / "low", teacher=str(weights_file), bits=4))


def _watch(rank, address, queue):
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=2)
    quantiser = ActivationQuantiser(8)
    for ends in ((-1.0, 2.0), (-0.5, 3.0)):
        quantiser(torch.tensor([end * (rank + 1) for end in ends]))
    queue.put((quantiser.low.item(), quantiser.high.item(), int(quantiser.step)))
    dist.destroy_process_group()


@pytest.mark.slow
def test_all_processes_watch_one_range(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_watch, args=(rank, tmp_path / "store", queue)) for rank in range(2)]
    for worker in workers:
        worker.start()
    seen = [queue.get(timeout=1200) for _ in workers]
    for worker in workers:
        worker.join(30)
    assert seen == [(-2.0, 6.0, 2)] * 2  # those of the second one's values
