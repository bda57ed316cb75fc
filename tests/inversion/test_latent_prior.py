"""A trained generator as image prior: the latents it is fitted by draw what the generator draws."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from test_invert_workflow import write_recognizer

from gan.config import NetworkConfig
from gan.networks.generator import Generator
from gan.weights import save_generator
from synthface.cli import main
from synthface.workflows.inverting import means
from synthface.workflows.inverting.means import latent_prior

CONFIG = NetworkConfig(resolution=16, z_dim=8, w_dim=12, mapping_layers=2, channel_base=128, channel_max=16)


def write_generator(path: Path, n_classes: int) -> Generator:
    torch.manual_seed(0)
    G = Generator(CONFIG, n_classes).eval().requires_grad_(False)
    for name, parameter in G.named_parameters():
        if name.endswith(("bias", "noise_strength")):  # zero in a new network, which would hide what is left out
            parameter.normal_(std=0.1)
    save_generator(G, path, info={})
    return G


@pytest.mark.parametrize("n_classes", [0, 5])
@pytest.mark.parametrize("latent", ["w", "z"])
def test_latents_draw_what_the_generator_draws(tmp_path: Path, latent: str, n_classes: int) -> None:
    with torch.random.fork_rng():
        G = write_generator(tmp_path / "g.safetensors", n_classes)
    prior = latent_prior(tmp_path / "g.safetensors", "cpu", latent)
    z = torch.randn(4, CONFIG.z_dim, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 3, 1, 3]) if n_classes else None
    rows = G.mapping.class_embedding(labels)
    inputs = G.mapping(z, rows) if latent == "w" else z if rows is None else torch.cat([z, rows], dim=1)
    assert prior.shape == inputs.shape[1:]
    expected = G(z, labels)
    drawn = prior.synthesise(inputs.requires_grad_())
    np.testing.assert_allclose(drawn.detach().clamp(-1, 1), expected, atol=1e-5)
    drawn.square().mean().backward()
    assert (inputs.grad.abs().sum(0) > 0).all()  # all of a latent counts, the class too


def test_the_class_is_counted_in_deviations_of_the_classes(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        G = write_generator(tmp_path / "g.safetensors", 5)
    prior = latent_prior(tmp_path / "g.safetensors", "cpu", "z")
    rows = G.mapping.class_embedding(torch.arange(5))
    standard = (torch.cat([torch.zeros(5, 8), rows], dim=1) - prior.centre) / prior.spread
    np.testing.assert_allclose(standard.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(standard[:, 8:].square().mean(0), 1, atol=1e-4)
    assert (prior.spread[:8] == 1).all()


def test_the_command_passes_the_choice_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthface.report.inversion_figures.figure_svg", lambda *_: "<svg></svg>")  # takes seconds
    with torch.random.fork_rng():
        write_generator(tmp_path / "g.safetensors", 5)
    recognizer = write_recognizer(tmp_path / "tiny.safetensors", 0)
    np.save(tmp_path / "targets.npy", np.random.default_rng(0).normal(size=(1, 16)))
    command = [
        "invert",
        "--recognizer",
        str(recognizer),
        "--embeddings",
        str(tmp_path / "targets.npy"),
        "--latent",
        "z",
    ]
    asked = []
    monkeypatch.setattr(means, "latent_prior", lambda *given: (asked.append(given[2]), latent_prior(*given))[1])
    flags = ["--steps", "2", "--inversion.least_batch", "1", "--inversion.latent_share", "1", "--generator"]
    assert main([*command, *flags, str(tmp_path / "g.safetensors"), "--out", str(tmp_path / "out")]) == 0
    assert asked == ["z"]
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["made_by"]["config"]["latent"] == "z"
    assert results["beyond_template"] == ["faces of other people"]
    capsys.readouterr()
    assert main([*command, "--out", str(tmp_path / "none")]) == 3
    assert "name it with --generator" in capsys.readouterr().err
