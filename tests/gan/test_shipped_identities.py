"""Identities of a generator that is given away: distributed like training classes, and not to be solved for them."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

from gan.config import NetworkConfig
from gan.identities import SampleConfig, sampled_identity
from gan.networks.generator import Generator
from gan.weights import load_generator, read_header, save_generator
from synthface.core.errors import ConfigError
from synthface.models import GENERATOR, shipped_model


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "scripts"))
    return importlib.import_module("export_generator")


def test_rows_have_mean_and_covariance_of_the_classes_and_are_never_drawn_twice(script: ModuleType) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(400, 6, generator=generator) @ torch.randn(6, 6, generator=generator) + 3
    drawn, again = script.rows_like(rows, 50_000), script.rows_like(rows, 50_000)
    torch.testing.assert_close(drawn.mean(dim=0), rows.mean(dim=0), atol=0.1, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), rows.T.cov(), atol=0.3, rtol=0.1)
    assert not (drawn[:100] == again[:100]).any()


def test_an_export_keeps_the_network_and_none_of_the_classes(script: ModuleType, tmp_path: Path) -> None:
    G = Generator(NetworkConfig(resolution=8, z_dim=8, w_dim=8, channel_max=8), 40)
    (tmp_path / "run").mkdir()
    info = {"seen_images": 5, "seen_images_before": 7, "training": {}, "trained_on_manifest_sha256": "0" * 64}
    save_generator(G, tmp_path / "run" / "generator.safetensors", info=info)
    script.export(tmp_path / "run", tmp_path / "shipped.safetensors", identities=12)
    with pytest.raises(ConfigError, match=r"shipped\.safetensors already exists"):
        script.export(tmp_path / "run", tmp_path / "shipped.safetensors", identities=12)
    shipped, header = load_generator(tmp_path / "shipped.safetensors"), read_header(tmp_path / "shipped.safetensors")
    assert (shipped.n_classes, header["info"]["seen_images"]) == (12, 12)
    assert "trained_on_manifest_sha256" not in header["info"]
    assert G.mapping.embed is not None
    assert shipped.mapping.embed is not None
    assert torch.cdist(shipped.mapping.embed.weight, G.mapping.embed.weight).min() > 0.1
    torch.testing.assert_close(shipped.synthesis.blocks[0].const, G.synthesis.blocks[0].const, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("seed", range(5))
def test_the_rows_that_ship_are_no_seeded_weights_of_training_classes(seed: int) -> None:
    # Rows that are known weights of the classes could be solved for them: their inner products would show it.
    embed = load_generator(shipped_model(GENERATOR)).mapping.embed
    assert embed is not None
    rows = embed.weight.detach().double()
    codes = torch.zeros(len(rows), 1126, dtype=torch.float64)
    for index in range(len(rows)):
        for k, weight in sampled_identity(1126, index, seed, SampleConfig()).items():
            codes[index, k] = weight
    above = torch.triu(torch.ones(len(rows), len(rows), dtype=torch.bool), diagonal=1)
    found, expected = (((part - part.mean(dim=0)) @ (part - part.mean(dim=0)).T)[above] for part in (rows, codes))
    assert abs(torch.corrcoef(torch.stack([found, expected]))[0, 1]) < 0.02
