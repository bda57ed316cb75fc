"""Tiny pictures of no one, and a tiny network with fixed weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from synthface.data import FaceSet, FaceSetWriter


@pytest.fixture(autouse=True)
def _one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_faceset(tmp_path: Path) -> Callable[..., FaceSet]:
    """Make a FaceSet in which each identity is a pattern of its own under noise."""

    def make(name: str, *, identities: int = 6, per_identity: int = 8, side: int = 32, prefix: str = "P") -> FaceSet:
        generator = np.random.default_rng([ord(prefix[0]), identities])
        with FaceSetWriter(tmp_path / name, kind="synthetic", record={"command": "test"}) as writer:
            for person in range(identities):
                pattern = generator.integers(0, 256, (4, 4, 3)).repeat(side // 4, 0).repeat(side // 4, 1)
                for k in range(1, per_identity + 1):
                    noisy = np.clip(pattern + generator.normal(0, 25, pattern.shape), 0, 255).astype(np.uint8)
                    who = f"{prefix}{person}"
                    stem = f"{who}_{k:04d}"
                    writer.add(f"images/{stem}.png", noisy, identity=who, source=f"{who}/{stem}.jpg")
            return writer.finish()

    return make


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    """A recogniser's weight file: 32x32 pixels, 16 numbers, random but fixed weights."""
    from synthface.recognition.network_config import NetworkConfig
    from synthface.recognition.networks.mobilefacenet import MobileFaceNet, initialise
    from synthface.recognition.weights import write_network

    network = MobileFaceNet(NetworkConfig(input_size=(32, 32), embedding_dim=16, width=0.125))
    initialise(network, 0)
    _vary_statistics(network)
    path = tmp_path / "tiny.safetensors"
    write_network(path, network, about={"made_by": "test"})
    return path


def _vary_statistics(network) -> None:
    import torch

    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if hasattr(module, "running_var"):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
