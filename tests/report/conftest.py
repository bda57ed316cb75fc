"""Real sets of drawn people, and no recogniser to be loaded."""

from types import SimpleNamespace

import pytest
from drawn_people import fake_embed, make, sha256_of

from synthface.privacy import Acquisition
from synthface.recognition import catalogue
from synthface.workflows import audit


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """A folder with train, holdout and placebo of 40 people each; embedding is stood in for.

    Every recogniser has weights of its own, but "copy of NAME" has those of NAME. A path is called by its last part.
    """

    def known(name, flag="--recognizer"):
        sha256 = sha256_of(name.removeprefix("copy of "))
        return SimpleNamespace(name=name.rpartition("/")[2], sha256=sha256, description={"trained_on": "patterns"})

    monkeypatch.setattr(audit, "embed_faceset", fake_embed)
    monkeypatch.setattr(audit, "acquire", lambda facesets: Acquisition((), 0.0))  # patterns are no faces
    monkeypatch.setattr(catalogue, "find_weights", known)
    for role in ("train", "holdout", "placebo"):
        make(tmp_path, role, {f"Real {role} {k:02d}": f"{role}{k}" for k in range(40)})
    return tmp_path


@pytest.fixture
def quick(monkeypatch):
    """Leave the figures out: they take most of the time."""
    monkeypatch.setattr("synthface.report.audit_page.recognizer_plots", lambda *_, **__: [])
    monkeypatch.setattr("synthface.report.audit_page.power_plot", lambda *_, **__: None)
