"""Imported networks against what the official code computed (see fixtures/README.md)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from official_format import Layer, official_discriminator, official_generator, write_official_pickle

from gan.networks.discriminator import Discriminator
from gan.networks.generator import Generator
from gan.official import import_discriminator, import_generator
from gan.sampling.frozen_synthesis import FrozenSynthesis
from gan.weights import load_generator, save_generator

FIXTURES = Path(__file__).parent / "fixtures"


FILES = [
    "conditional_32",
    "unconditional_64",
    "conditional_128",  # 500 classes, half precision in the four highest resolutions, groups of 8
    "unconditional_256",  # groups of the whole batch
    "conditional_512",
    "unconditional_1024",
]


@dataclass(frozen=True)
class Case:
    """Expected numbers, the same networks in the test's own format, pickled and imported."""

    numbers: dict[str, Any]
    formats: tuple[Layer, Layer]
    G: Generator
    D: Discriminator

    @property
    def inputs(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        labels = torch.from_numpy(self.numbers["labels"]) if self.numbers["size_c"] else None
        return torch.from_numpy(self.numbers["z"]), labels


@pytest.fixture(scope="module", params=FILES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    with np.load(FIXTURES / f"official_{request.param}.npz") as file:
        numbers = dict(file)
    sizes = {name.removeprefix("size_"): v.item() for name, v in numbers.items() if name.startswith("size_")}
    sizes["clamp"] = sizes["clamp"] or None
    sizes["group"] = sizes.get("group", 4) or None
    G, D = official_generator(**sizes), official_discriminator(**sizes)
    path = tmp_path_factory.mktemp("official") / "network.pkl"
    write_official_pickle(path, {"G": None, "D": D, "G_ema": G, "augment_pipe": None})
    return Case(numbers, (G, D), import_generator(path), import_discriminator(path))


def _draw(
    G: Any, z: torch.Tensor, labels: torch.Tensor | None, psi: float, noisy: bool, cutoff: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images before they are clipped to [-1, 1], as training and as sampling draws them."""
    ws = G.truncated_ws(G.mapping(z, G.mapping.class_embedding(labels)), psi, cutoff)
    noise = G.synthesis.constant_noise() if noisy else None
    with torch.inference_mode():
        return G.synthesis(ws, noise), FrozenSynthesis(G.synthesis, noise)(ws)


def test_the_test_format_has_exactly_the_official_tensors(case: Case) -> None:
    for network, key in zip(case.formats, ("names_G", "names_D"), strict=True):
        ours = {f"{name}:{','.join(map(str, tensor.shape))}" for name, tensor in network.tensors().items()}
        assert ours == set(case.numbers[key].tolist())


@pytest.mark.parametrize(
    ("kind", "psi", "noisy"), [("const", 1.0, True), ("none", 1.0, False), ("truncated", 0.7, True)]
)
def test_images_equal_the_official_ones(case: Case, kind: str, psi: float, noisy: bool) -> None:
    G, numbers, (z, labels) = case.G, case.numbers, case.inputs
    cutoff = int(numbers.get("size_cutoff", 0)) or None
    trained, sampled = (images.numpy() for images in _draw(G, z, labels, psi, noisy, cutoff))
    for images in (trained, sampled):
        np.testing.assert_allclose(images[tuple(numbers["positions"])], numbers[f"pixels_{kind}"], atol=1e-4, rtol=0)
        means = images.mean(axis=(1, 2, 3), dtype=np.float64)
        np.testing.assert_allclose(means, numbers[f"sums_{kind}"] / images[0].size, atol=1e-5, rtol=0)
    if G.resolution <= 64:
        drawn = G(z, labels, psi, "const" if noisy else "none", cutoff=cutoff)
        np.testing.assert_allclose(drawn.numpy(), trained.clip(-1, 1), atol=1e-6)


def test_w_equals_the_official_one(case: Case) -> None:
    z, labels = case.inputs
    w = case.G.mapping(z, case.G.mapping.class_embedding(labels))
    np.testing.assert_allclose(w.numpy(), case.numbers["ws"], atol=1e-5, rtol=0)


def test_logits_equal_the_official_ones(case: Case) -> None:
    numbers, D, (z, labels) = case.numbers, case.D, case.inputs
    assert D.group_size == numbers.get("size_group", 4)
    images = _draw(case.G, z, labels, 1.0, True)[0] / float(numbers["logit_scale"])
    np.testing.assert_allclose(D(images, labels).numpy(), numbers["logits"], atol=1e-5, rtol=0)
    two = D(images[:2], None if labels is None else labels[:2]).numpy()
    np.testing.assert_allclose(two, numbers["logits_first_two"], atol=1e-5, rtol=0)


def test_a_saved_import_draws_the_same_images(case: Case, tmp_path: Path) -> None:
    save_generator(case.G, tmp_path / "model.safetensors", info={})
    loaded = load_generator(tmp_path / "model.safetensors")
    for name, tensor in case.G.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert (loaded.z_dim, loaded.n_classes, loaded.resolution) == (
        case.numbers["size_z"],
        case.numbers["size_c"],
        case.numbers["size_resolution"],
    )
    if loaded.resolution <= 64:
        torch.testing.assert_close(loaded(*case.inputs), case.G(*case.inputs), atol=1e-5, rtol=0)
