"""A training that begins from an official pickle, or from any generator without classes."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from official_format import official_discriminator, official_generator, write_official_pickle

from gan.config import NetworkConfig, TrainingConfig
from gan.official import ImportedNetworks, import_networks
from gan.training.batches import BatchSource
from gan.training.fitting import fitting_discriminator_state
from gan.training.trainer import GanTrainer
from gan.training.transfer import begin_from_generator, begin_from_networks
from gan.weights import load_generator, read_header, save_generator
from synthface.cli import main
from synthface.core.errors import ConfigError, WeightsError
from synthface.core.hashing import sha256_file

SIZES = {"resolution": 8, "z": 4, "w": 5, "n_layers": 2}
CHANNELS = {"base": 64, "most": 6, "clamp": 256}
NETWORK = NetworkConfig(
    resolution=8, z_dim=4, w_dim=5, mapping_layers=2, channel_base=48, channel_max=6, class_scale=0.0, clamp=256.0
)
TRAINING = TrainingConfig(batch=8, micro_batch=4, compile=False)
FLAGS = ["--network.resolution", "8", "--network.z_dim", "4", "--network.w_dim", "5", "--network.channel_max", "6"]
FLAGS += ["--training.batch", "8", "--training.micro_batch", "4", "--training.compile", "false"]
FLAGS += ["--kimg", "0.016", "--monitor.ticks", "0"]


def _pickle(folder: Path, n_classes: int, *, without: str = "", **sizes: Any) -> Path:
    networks = {
        "G_ema": official_generator(**SIZES, **{**CHANNELS, **sizes}, c=n_classes),
        "G": official_generator(**SIZES, **{**CHANNELS, **sizes}, c=n_classes),
        "D": official_discriminator(resolution=8, c=n_classes, **{**CHANNELS, **sizes}),
    }
    networks["G"].part("synthesis.b8.torgb").parameters["bias"] = torch.tensor([0.25, 0.5, 0.75])  # not its average's
    networks.pop(without, None)
    return write_official_pickle(folder / "network.pkl", networks)


def _trainer(training: TrainingConfig = TRAINING) -> GanTrainer:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 255, (20, 8, 8, 3), dtype=np.uint8)
    source = BatchSource(pixels, np.arange(20) % 3, training, seed=1)
    fabric = SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1)
    return GanTrainer(NETWORK, training, 3, source, fabric, 1)


def _begun(found: ImportedNetworks) -> GanTrainer:
    trainer = _trainer()
    begin_from_networks(trainer, G_ema=found.G_ema, G=found.G, D=found.D)
    return trainer


def test_networks_with_classes_are_taken_over_without_their_people(tmp_path: Path) -> None:
    found, fresh = import_networks(_pickle(tmp_path, 7)), _trainer()
    assert found.D is not None
    assert not torch.equal(found.G.state_dict()["synthesis.blocks.1.to_rgb.bias"], torch.zeros(3))
    trainer = _begun(found)
    for name, other in (("G", found.G), ("G_ema", found.G_ema), ("D", found.D)):
        state, before, theirs = (part.state_dict() for part in (getattr(trainer, name), getattr(fresh, name), other))
        rows = [key for key, tensor in state.items() if tensor.shape != theirs[key].shape]
        assert rows == ["mapping.embed.weight"]
        for key, tensor in state.items():
            assert torch.equal(tensor, before[key] if key in rows else theirs[key]), (name, key)
    assert not trainer.average_starts_here


def test_without_classes_every_class_begins_as_the_same_people(tmp_path: Path) -> None:
    found = import_networks(_pickle(tmp_path, 0))
    trainer = _begun(found)
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    for own, other in ((trainer.G, found.G), (trainer.G_ema, found.G_ema)):
        for labels in (torch.zeros(6, dtype=torch.int64), torch.arange(6) % 3):
            torch.testing.assert_close(own.eval()(z, labels), other(z, None), rtol=0, atol=1e-5)
    trainer.G.train()
    for _ in range(3):
        trainer.step()
    of_classes = [trainer.G.mapping(z, trainer.G.mapping.class_embedding(torch.full((6,), k))) for k in range(2)]
    assert (of_classes[0] - of_classes[1]).abs().max() > 0  # and goes on to tell them apart


def test_a_discriminator_without_classes_sees_the_same(tmp_path: Path) -> None:
    found, fresh = import_networks(_pickle(tmp_path, 0)), _trainer().D.state_dict()
    trainer = _begun(found)
    assert found.D is not None
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    seen: list[torch.Tensor] = []
    for network, labels in ((trainer.D, torch.zeros(4, dtype=torch.int64)), (found.D, None)):
        handle = network.hidden.register_forward_hook(lambda module, given, out: seen.append(out.detach()))
        network(images, labels)
        handle.remove()
    assert torch.equal(*seen)
    new = {"out.weight", "out.bias", *(name for name in fresh if name.startswith("mapping."))}
    assert all(torch.equal(trainer.D.state_dict()[name], fresh[name]) for name in new)


def test_a_generator_file_without_classes_is_taken_over_too(tmp_path: Path) -> None:
    file, G = tmp_path / "imported.safetensors", import_networks(_pickle(tmp_path, 0)).G_ema
    save_generator(G, file, info={})
    trainer = _trainer()
    begin_from_generator(trainer, load_generator(file), with_classes=False)
    z = torch.randn(4, 4, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(trainer.G_ema.eval()(z, torch.arange(4) % 3), G(z, None), rtol=0, atol=1e-5)


@pytest.mark.parametrize("without", ["G", "G_ema"])
def test_one_generator_stands_for_both(tmp_path: Path, without: str) -> None:
    found = import_networks(_pickle(tmp_path, 3, without=without))
    assert found.G is found.G_ema


def test_a_pickle_without_a_generator_is_refused(tmp_path: Path) -> None:
    file = write_official_pickle(tmp_path / "network.pkl", {"D": official_discriminator(resolution=8, c=0, **CHANNELS)})
    with pytest.raises(WeightsError, match=r"network\.pkl holds no generator \(it has: D\)"):
        import_networks(file)


def test_a_discriminator_of_other_sizes_is_refused(tmp_path: Path) -> None:
    D = import_networks(_pickle(tmp_path, 0, most=5)).D
    assert D is not None
    with pytest.raises(ConfigError, match=r"other sizes or parts \(from_rgb\.weight: \(5, .*'synthface import-gan'"):
        fitting_discriminator_state(D, _trainer().D)


@pytest.mark.parametrize("n_classes", [0, 7])
def test_the_command_begins_from_a_pickle(
    tiny_faceset: Path, tmp_path: Path, n_classes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run = _pickle(tmp_path, n_classes), tmp_path / "run"
    command = ["train-gan", "--faces", str(tiny_faceset), "--out", str(run), "--init", str(file), *FLAGS]
    assert main(command) == 3
    told = capsys.readouterr().err
    assert "--network.clamp 256.0" in told
    assert ("--network.class_scale 0.0" in told) == (n_classes > 0)
    assert not run.exists()
    fitting = ["--network.clamp", "256", *(["--network.class_scale", "0"] if n_classes else [])]
    assert main([*command, *fitting, "--training.warmup_kimg", "0.016"]) == 0
    record, header = json.loads((run / "run.json").read_text()), read_header(run / "generator.safetensors")
    assert record["inputs"]["init"] == header["info"]["begun_from_sha256"] == sha256_file(file)
    theirs, ours = import_networks(file).G_ema.synthesis.state_dict(), load_generator(run).synthesis.state_dict()
    moved = [name for name, tensor in ours.items() if not torch.allclose(tensor, theirs[name])]
    assert moved == ["blocks.1.to_rgb.bias"]  # all its steps were warm-up: the average has gone towards its generator
    file.unlink()  # which a run under way needs no more
    assert main([*command, *fitting, "--training.warmup_kimg", "0.016", "--kimg", "0.024", "--resume"]) == 0


def test_the_command_refuses_what_a_pickle_has_no_part_for(
    tiny_faceset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train-gan", "--faces", str(tiny_faceset), "--out", str(tmp_path / "run"), *FLAGS]
    assert main([*command, "--init", str(tmp_path / "missing.pkl")]) == 3
    assert "missing.pkl does not exist" in capsys.readouterr().err
    wide = [*command, "--init", str(_pickle(tmp_path, 0)), "--network.clamp", "256", "--network.channel_max", "8"]
    assert main(wide) == 3  # of both networks, the one that can say what to give
    assert "give --network.channel_base 48 --network.channel_max 6" in capsys.readouterr().err
    beside = ["--network.clamp", "256", "--training.features.mode", "beside"]
    assert main([*command, "--init", str(_pickle(tmp_path, 0)), *beside]) == 3
    assert "from_rgb.weight: (6, 3, 1, 1), here missing" in capsys.readouterr().err
