"""Fixtures shared by all tests: the real photos and recognisers, where they are present."""

import os
from pathlib import Path

import pytest

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
