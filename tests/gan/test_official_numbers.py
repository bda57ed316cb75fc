"""Imported networks against what the official code computed (see fixtures/README.md)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from official_format import Layer, official_discriminator, official_generator, write_official_pickle

from gan.official import import_discriminator, import_generator
from gan.weights import load_generator, save_generator

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(params=["conditional_32", "unconditional_64"])
def numbers(request: pytest.FixtureRequest) -> dict[str, Any]:
    with np.load(FIXTURES / f"official_{request.param}.npz") as file:
        return dict(file)


def _networks(numbers: dict[str, Any]) -> tuple[Layer, Layer]:
    sizes = {name.removeprefix("size_"): v.item() for name, v in numbers.items() if name.startswith("size_")}
    sizes["clamp"] = sizes["clamp"] or None
    return official_generator(**sizes), official_discriminator(**sizes)


@pytest.fixture
def pickled(numbers: dict[str, Any], tmp_path: Path) -> Path:
    G, D = _networks(numbers)
    return write_official_pickle(tmp_path / "network.pkl", {"G": None, "D": D, "G_ema": G, "augment_pipe": None})


def _inputs(numbers: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
    labels = torch.from_numpy(numbers["labels"]) if numbers["size_c"] else None
    return torch.from_numpy(numbers["z"]), labels


def _draw(G: Any, z: torch.Tensor, labels: torch.Tensor | None, psi: float, noisy: bool) -> torch.Tensor:
    """Images before they are clipped to [-1, 1]."""
    w = G.mapping.truncate(G.mapping(z, G.mapping.class_embedding(labels)), psi)
    return G.synthesis(w[:, None].expand(-1, G.synthesis.n_w, -1), G.synthesis.constant_noise() if noisy else None)


def test_the_test_format_has_exactly_the_official_tensors(numbers: dict[str, Any]) -> None:
    for network, key in zip(_networks(numbers), ("names_G", "names_D"), strict=True):
        ours = {f"{name}:{','.join(map(str, tensor.shape))}" for name, tensor in network.tensors().items()}
        assert ours == set(numbers[key].tolist())


@pytest.mark.parametrize(
    ("kind", "psi", "noisy"), [("const", 1.0, True), ("none", 1.0, False), ("truncated", 0.7, True)]
)
def test_images_equal_the_official_ones(
    numbers: dict[str, Any], pickled: Path, kind: str, psi: float, noisy: bool
) -> None:
    G = import_generator(pickled)
    z, labels = _inputs(numbers)
    images = _draw(G, z, labels, psi, noisy).numpy()
    np.testing.assert_allclose(images[tuple(numbers["positions"])], numbers[f"pixels_{kind}"], atol=1e-4, rtol=0)
    means = images.mean(axis=(1, 2, 3), dtype=np.float64)
    np.testing.assert_allclose(means, numbers[f"sums_{kind}"] / images[0].size, atol=1e-5, rtol=0)
    mode = "const" if noisy else "none"
    np.testing.assert_allclose(G(z, labels, psi, mode).numpy(), images.clip(-1, 1), atol=1e-6)


def test_w_equals_the_official_one(numbers: dict[str, Any], pickled: Path) -> None:
    G = import_generator(pickled)
    z, labels = _inputs(numbers)
    w = G.mapping(z, G.mapping.class_embedding(labels))
    np.testing.assert_allclose(w.numpy(), numbers["ws"], atol=1e-5, rtol=0)


def test_logits_equal_the_official_ones(numbers: dict[str, Any], pickled: Path) -> None:
    G, D = import_generator(pickled), import_discriminator(pickled)
    z, labels = _inputs(numbers)
    images = _draw(G, z, labels, 1.0, True) / float(numbers["logit_scale"])
    np.testing.assert_allclose(D(images, labels).numpy(), numbers["logits"], atol=1e-5, rtol=0)
    two = D(images[:2], None if labels is None else labels[:2]).numpy()
    np.testing.assert_allclose(two, numbers["logits_first_two"], atol=1e-5, rtol=0)


def test_a_saved_import_draws_the_same_images(numbers: dict[str, Any], pickled: Path, tmp_path: Path) -> None:
    G = import_generator(pickled)
    save_generator(G, tmp_path / "model.safetensors", info={})
    loaded = load_generator(tmp_path / "model.safetensors")
    z, labels = _inputs(numbers)
    torch.testing.assert_close(loaded(z, labels), G(z, labels), atol=1e-5, rtol=0)
    assert (loaded.z_dim, loaded.n_classes, loaded.resolution) == (
        numbers["size_z"],
        numbers["size_c"],
        numbers["size_resolution"],
    )
