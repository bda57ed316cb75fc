"""Generator files: what is written is what draws, and a file that lies costs nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from gan.config import NetworkConfig
from gan.networks.generator import Generator
from gan.networks.mapping import set_class_strength
from gan.weights import FILE_NAME, generator_file, load_generator, read_header, save_generator
from synthface.core.errors import WeightsError

NETWORK = NetworkConfig(resolution=8, z_dim=4, w_dim=4, channel_base=32, channel_max=8)


@pytest.fixture
def drawer() -> Generator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Generator(NETWORK, 3).eval()


def _draw(G: Generator) -> torch.Tensor:
    z = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return G(z, torch.tensor([0, 1, 2, 0]))


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_a_generator_stopped_on_its_way_to_classes_draws_what_it_drew(
    drawer: Generator, tmp_path: Path, strength: float
) -> None:
    set_class_strength(drawer, strength)
    save_generator(drawer, tmp_path / "G.safetensors", info={})
    torch.testing.assert_close(_draw(load_generator(tmp_path / "G.safetensors")), _draw(drawer))
    assert ("class_strength" in read_header(tmp_path / "G.safetensors")) == (strength < 1)


def _changed(G: Generator, path: Path, header: dict[str, Any], drop: str = "") -> Path:
    save_generator(G, path, info={})
    old = read_header(path)
    told = {**old, **header, "network": {**old["network"], **header.get("network", {})}}
    tensors = {name: tensor.contiguous() for name, tensor in G.state_dict().items() if name != drop}
    save_file(tensors, path, metadata={"synthface": json.dumps(told)})
    return path


@pytest.mark.parametrize(
    "header",
    [
        {"network": {"w_dim": 32_000}},
        {"network": {"channel_max": 32_000, "channel_base": 32_000}},
        {"network": {"z_dim": 0}, "n_classes": 0},
        {"n_classes": 30_000},
        {"class_strength": "1"},
        {"class_strength": 2.0},
    ],
)
def test_a_header_that_lies_is_refused_before_anything_is_made(
    drawer: Generator, tmp_path: Path, header: dict[str, Any]
) -> None:
    path = _changed(drawer, tmp_path / "G.safetensors", header)
    with pytest.raises(WeightsError, match="its header describes no generator"):
        load_generator(path)


def test_a_missing_tensor_is_named(drawer: Generator, tmp_path: Path) -> None:
    path = _changed(drawer, tmp_path / "G.safetensors", {}, drop="mapping.w_average")
    with pytest.raises(WeightsError, match=r"its tensors do not fit it: mapping\.w_average"):
        load_generator(path)


def test_loading_leaves_the_callers_random_numbers_alone(drawer: Generator, tmp_path: Path) -> None:
    save_generator(drawer, tmp_path / "G.safetensors", info={})
    before = torch.random.get_rng_state()
    load_generator(tmp_path / "G.safetensors")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_a_folder_lacks_is_said_of_what_it_is(drawer: Generator, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is no run of 'synthface train-gan'"):
        generator_file(tmp_path)
    with pytest.raises(WeightsError, match="does not exist; check the path"):
        generator_file(tmp_path / "absent")
    (tmp_path / "samples").mkdir()
    with pytest.raises(WeightsError, match="no good checkpoint yet"):
        generator_file(tmp_path)
    save_generator(drawer, tmp_path / FILE_NAME, info={})
    assert generator_file(tmp_path) == tmp_path / FILE_NAME
