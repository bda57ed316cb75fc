"""Images of a release that show no face are found by the detector, once, and named."""

import importlib.util
import itertools
import json
import tarfile

import numpy as np
import pytest
from drawn_people import make_new, options
from PIL import Image

from synthface.core.errors import WeightsError
from synthface.data import FaceSetWriter
from synthface.workflows import audit as workflow
from synthface.workflows.auditing import acquisition


@pytest.fixture
def grey(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "cache"))
    with FaceSetWriter(tmp_path / "grey", kind="synthetic", record={"command": "test"}) as writer:
        for k in range(3):
            writer.add(f"{k}.png", np.full((64, 64, 3), 60 * k + 60, np.uint8), identity=str(k))
        return writer.finish()


def test_grey_pictures_show_no_face(grey, monkeypatch):
    pytest.importorskip("joblib")
    if importlib.util.find_spec("mtcnn") is None:
        pytest.skip("the detector's weights are not installed")
    found = acquisition.acquire({"synthetic": grey, "holdout": grey})
    assert found.unaudited == ("0.png", "1.png", "2.png")
    assert found.control == 1.0
    monkeypatch.setattr(acquisition, "_search", lambda *_: pytest.fail("searched again"))
    assert acquisition.acquire({"synthetic": grey, "holdout": grey}) == found


@pytest.mark.shared
def test_real_faces_at_64_pixels_are_found(shared, tmp_path, monkeypatch):
    if importlib.util.find_spec("mtcnn") is None:
        pytest.skip("the detector's weights are not installed")
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "cache"))
    record = {"command": "test"}
    with (
        tarfile.open(shared / "data" / "lfw" / "lfw_aligned_112-00000.tar") as archive,
        FaceSetWriter(tmp_path / "faces", kind="real", record=record) as writer,
    ):
        members = (member for member in archive if member.isfile() and member.name.endswith((".jpg", ".png")))
        for k, member in enumerate(itertools.islice(members, 100)):
            pixels = np.asarray(Image.open(archive.extractfile(member)).convert("RGB"))
            writer.add(f"{k}.png", pixels, identity=str(k))
        faces = writer.finish()
    assert len(acquisition.without_face(faces, range(100), 64)) <= 1


def test_without_the_detector_it_is_not_checked_and_said_so(sets, quick, monkeypatch, capsys):
    def missing(*_):
        raise WeightsError("no detector")

    monkeypatch.setattr(acquisition, "_search", missing)
    monkeypatch.setattr(workflow, "acquire", acquisition.acquire)
    monkeypatch.setenv("SYNTHFACE_CACHE", str(sets / "cache"))
    make_new(sets)
    assert workflow.run(options(sets)) == 2
    result = json.loads((sets / "out" / "audit.json").read_text())
    assert result["unaudited"] is None
    assert any("not checked" in sentence for sentence in result["not_concluded"])
    assert "not checked" in result["claim"]
    assert "not checked" in (sets / "out" / "report_public.html").read_text()
