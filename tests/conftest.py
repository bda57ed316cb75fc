"""Fixtures shared by all tests: the real photos and recognisers, where they are present."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from synthface.data import FaceSetWriter
from synthface.data.faceset import Kind

FaceSetMaker = Callable[..., Path]
_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real photos and pretrained recognisers (``data/``, ``models/``)."""
    folder = Path(os.environ.get("SYNTHFACE_SHARED", _ROOT.parent / "shared"))
    if not (folder / "SHA256SUMS").is_file():
        pytest.skip(f"no real photos and recognisers in {folder}; set SYNTHFACE_SHARED")
    return folder


@pytest.fixture(autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the user's cache, and let named recognisers be found."""
    if "SYNTHFACE_CACHE" not in os.environ:
        monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    models = Path(os.environ.get("SYNTHFACE_SHARED", _ROOT.parent / "shared")) / "models"
    if models.is_dir() and "SYNTHFACE_MODELS" not in os.environ:
        monkeypatch.setenv("SYNTHFACE_MODELS", str(models))


@pytest.fixture
def tiny_faceset(tmp_path: Path, write_faceset: FaceSetMaker) -> Path:
    """A FaceSet of 32 drawn images of 4 identities, 112x112."""
    return write_faceset(tmp_path / "tiny", n_identities=4, per_identity=8)


@pytest.fixture(scope="session")
def write_faceset() -> FaceSetMaker:
    """A function that writes a FaceSet whose identities are colours, with a little noise in each image."""

    def write(out: Path, *, n_identities: int, per_identity: int, kind: Kind = "real", size: int = 112) -> Path:
        generator = np.random.default_rng(0)
        with FaceSetWriter(out, kind=kind, record={"command": "test", "config": {}, "inputs": {}}) as writer:
            for k in range(n_identities):
                colour = generator.integers(40, 200, 3)
                for j in range(per_identity):
                    image = (colour + generator.integers(0, 40, (size, size, 3))).astype(np.uint8)
                    writer.add(f"images/p{k}/{j}.png", image, identity=f"p{k}", source=f"p{k}/p{k}_{j + 1:04d}.png")
            writer.finish()
        return out

    return write
