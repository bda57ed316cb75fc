"""What an import accepts, what it refuses and says, and the command."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from official_format import Layer, official_discriminator, official_generator, write_official_pickle

from gan.official import import_discriminator, import_generator
from gan.weights import load_generator, read_header
from synthface.cli import main
from synthface.core.errors import WeightsError
from synthface.core.hashing import sha256_file

SIZES = {"resolution": 16, "z": 4, "c": 3, "w": 5, "n_layers": 2, "base": 64, "most": 6, "clamp": 256}


def _write(tmp_path: Path, change: Callable[[Layer], Any] = lambda G: None, **sizes: Any) -> Path:
    G = official_generator(**{**SIZES, **sizes})
    change(G)
    return write_official_pickle(tmp_path / "network.pkl", {"G_ema": G})


@pytest.mark.parametrize(("base", "most"), [(64, 6), (100, 7), (32768, 3), (16, 512), (50, 50)])
def test_channels_are_found_from_the_shapes(tmp_path: Path, base: int, most: int) -> None:
    G = import_generator(_write(tmp_path, base=base, most=most))
    found = [block.to_rgb.weight.shape[1] for block in G.synthesis.blocks]
    assert found == [min(base // r, most) for r in (4, 8, 16)]
    assert [G.config.channels(r) for r in (4, 8, 16)] == found


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_every_pickle_protocol_gives_the_same_generator(tmp_path: Path, protocol: int) -> None:
    first = import_generator(_write(tmp_path))
    other = write_official_pickle(tmp_path / "b.pkl", {"G_ema": official_generator(**SIZES)}, protocol=protocol)
    second = import_generator(other).state_dict()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second[name]), name


def test_the_number_of_mapping_layers_and_the_clamp_are_taken_over(tmp_path: Path) -> None:
    G = import_generator(_write(tmp_path, n_layers=8, clamp=256))
    assert (G.config.mapping_layers, G.config.clamp, G.config.class_scale) == (8, 256.0, 0.0)
    assert import_generator(_write(tmp_path, clamp=None)).config.clamp == 0


def _set(path: str, **attributes: Any) -> Callable[[Layer], Any]:
    return lambda G: (G.part(path) if path else G).attributes.update(attributes)


def _tensor(path: str, name: str, value: Any) -> Callable[[Layer], Any]:
    return lambda G: G.part(path).parameters.update({name: value})


ZERO = torch.zeros(())
CHANGES = {
    "another architecture": (_set("synthesis.b8", architecture="resnet"), r"b8\.architecture is 'resnet'"),
    "another activation": (_set("synthesis.b8.conv1", activation="relu"), r"b8\.conv1\.activation is 'relu'"),
    "a layer without noise": (_set("synthesis.b8.conv1", use_noise=False), "use_noise is False"),
    "another clamp in one layer": (_set("synthesis.b8.torgb", conv_clamp=1), r"torgb\.conv_clamp is 1"),
    "another learning rate": (_set("mapping.fc0", bias_gain=1), r"fc0\.bias_gain is 1"),
    "grey images": (_set("", img_channels=1), "img_channels is 1"),
    "an odd resolution": (_set("", img_resolution=24), "img_resolution is 24"),
    "a resolution it has not": (_set("", img_resolution=32), r"synthesis\.b32.* is missing"),
    "sizes beyond reason": (_set("", w_dim=10**9), "w_dim is 1000000000"),
    "a size it has not": (_set("", z_dim=400), "z_dim"),
    "an attribute that is a list": (_set("synthesis.b8", architecture=["skip"]), "architecture is a list"),
    "a surplus tensor": (_tensor("synthesis.b8.conv0", "extra", ZERO), r"conv0\.extra is a tensor that StyleGAN2"),
    "a missing tensor": (_tensor("synthesis.b8.conv0", "bias", None), r"conv0\.bias is missing"),
    "another shape": (_tensor("synthesis.b8.conv0", "bias", torch.zeros(3)), r"conv0\.bias is of shape \[3\]"),
    "a broken training": (_tensor("synthesis.b8.conv1", "noise_strength", ZERO / 0), "finite"),
    "whole numbers": (_tensor("synthesis.b8.conv1", "noise_strength", torch.tensor(1)), "floating point"),
    "another filter": (
        lambda G: G.part("synthesis.b16").buffers.update(resample_filter=torch.ones(4, 4) / 16),
        r"b16\.resample_filter is another filter",
    ),
    "another kind of network": (lambda G: setattr(G, "class_name", "Discriminator"), "where a 'Generator' is needed"),
    "no module where one belongs": (lambda G: G.parts.pop("mapping"), "mapping is missing"),
}


@pytest.mark.parametrize("name", list(CHANGES))
def test_networks_that_compute_something_else_are_refused(tmp_path: Path, name: str) -> None:
    change, message = CHANGES[name]
    with pytest.raises(WeightsError, match=message) as caught:
        import_generator(_write(tmp_path, change))
    assert str(caught.value).startswith(f"{tmp_path / 'network.pkl'}: G_ema")


@pytest.mark.parametrize(
    ("path", "attributes", "message"),
    [
        ("b16", {"architecture": "orig"}, "architecture"),
        ("b16", {"architecture": "skip"}, "architecture is 'skip', where only 'resnet' is supported"),
        ("b4.mbstd", {"group_size": 0}, "group_size is 0"),
        ("b4.mbstd", {"group_size": "4"}, "group_size is '4'"),
        ("b4.mbstd", {"num_channels": 2}, "num_channels is 2"),
        ("b8.conv1", {"down": 1}, r"conv1\.down"),
    ],
)
def test_discriminators_that_compute_something_else_are_refused(
    tmp_path: Path, path: str, attributes: dict[str, Any], message: str
) -> None:
    D = official_discriminator(**SIZES)
    D.part(path).attributes.update(attributes)
    with pytest.raises(WeightsError, match=message):
        import_discriminator(write_official_pickle(tmp_path / "network.pkl", {"D": D}))


@pytest.mark.parametrize(("group", "expected"), [(4, 4), (32, 32), (None, 0)])
def test_the_group_size_is_taken_over(tmp_path: Path, group: int | None, expected: int) -> None:
    D = official_discriminator(**SIZES, group=group)
    imported = import_discriminator(write_official_pickle(tmp_path / "network.pkl", {"D": D}))
    assert (imported.group_size, imported(torch.zeros(4, 3, 16, 16), torch.tensor([0, 1, 2, 0])).shape) == (
        expected,
        (4, 1),
    )


def test_frozen_layers_are_read(tmp_path: Path) -> None:
    """Training with Freeze-D turns the parameters of the first layers into buffers."""
    D = official_discriminator(**SIZES)
    plain = import_discriminator(write_official_pickle(tmp_path / "plain.pkl", {"D": D})).state_dict()
    layer = D.part("b16.fromrgb")
    layer.buffers |= {name: parameter.data for name, parameter in layer.parameters.items()}
    layer.parameters.clear()
    frozen = import_discriminator(write_official_pickle(tmp_path / "frozen.pkl", {"D": D})).state_dict()
    assert all(torch.equal(frozen[name], tensor) for name, tensor in plain.items())


def test_an_import_draws_no_global_random_numbers(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    import_generator(_write(tmp_path))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_files_of_another_kind_are_named(tmp_path: Path) -> None:
    file = tmp_path / "network.pkl"
    with pytest.raises(WeightsError, match="is a folder; give an official"):
        import_generator(tmp_path)
    with pytest.raises(WeightsError, match="does not exist"):
        import_generator(file)
    file.write_bytes(b"")
    with pytest.raises(WeightsError, match="no pickle"):
        import_generator(file)
    torch.save({"a": torch.zeros(1)}, file)
    with pytest.raises(WeightsError, match="zip archive"):
        import_generator(file)
    file.write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81.")
    with pytest.raises(WeightsError, match="TensorFlow"):
        import_generator(file)
    write_official_pickle(file, {"G": official_generator(**SIZES)})
    with pytest.raises(WeightsError, match=r"no network G_ema \(it has: G\)"):
        import_generator(file)


def test_the_command_writes_a_model_that_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = _write(tmp_path), tmp_path / "models" / "model.safetensors"
    assert main(["import-gan", str(file), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "16x16 pixels, 3 classes" in printed
    assert f"synthface generate --generator {out} --classes 0-2" in printed
    assert read_header(out)["info"] == {"imported_from": sha256_file(file), "which": "G_ema"}
    images = load_generator(out)(torch.zeros(2, 4), torch.tensor([0, 2]))
    assert images.shape == (2, 3, 16, 16)
    before = out.read_bytes()
    assert main(["import-gan", str(file), "--out", str(out)]) == 0
    assert out.read_bytes() == before


def test_the_command_takes_the_generator_of_a_pickle_without_an_average(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "network.pkl", tmp_path / "model.safetensors"
    write_official_pickle(file, {"G": official_generator(**SIZES)})
    arguments = ["import-gan", str(file), "--out", str(out)]
    assert main(arguments) == 3
    assert "no network G_ema (it has: G)" in capsys.readouterr().err
    assert main([*arguments, "--network", "G"]) == 0
    assert capsys.readouterr().out.startswith("G of ")
    assert read_header(out)["info"]["which"] == "G"
    expected = import_generator(file, "G").state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in load_generator(out).state_dict().items())


def test_the_command_replaces_no_other_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model.safetensors"
    file = _write(tmp_path)
    assert main(["import-gan", str(file), "--out", str(out)]) == 0
    other = _write(tmp_path, n_layers=3)
    capsys.readouterr()
    assert main(["import-gan", str(other), "--out", str(out)]) == 3
    assert "already exists and holds something else" in capsys.readouterr().err
    assert main(["import-gan", str(file), "--out", str(tmp_path / "model.pt")]) == 3
    assert ".safetensors" in capsys.readouterr().err


def test_the_command_says_in_one_line_why_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "evil.pkl"
    file.write_bytes(b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.")
    assert main(["import-gan", str(file), "--out", str(tmp_path / "model.safetensors")]) == 3
    error = capsys.readouterr().err
    assert "posix.system" in error
    assert "nothing in the file was run" in error
    assert error.count("\n") == 1
    assert not np.any([path.suffix == ".safetensors" for path in tmp_path.iterdir()])
