"""The sidecar: right numbers, in order, the same after an interruption, and tied to its set."""

import json
from pathlib import Path

import numpy as np
import pytest

from synthface.cli import main
from synthface.core.errors import ConfigError, DataError
from synthface.data import FaceSet, FaceSetWriter
from synthface.data.alignment import TEMPLATE
from synthface.data.detection.mtcnn import DetectorConfig, FaceDetector
from synthface.data.images import decode_image, resize_image
from synthface.data.sources import list_source, read_files
from synthface.metrics.class_likeness import distribution, likeness_to_class
from synthface.metrics.image_quality import sharpness
from synthface.workflows import describe, release
from synthface.workflows.describing.faces import MIN_FACE, describe_images
from synthface.workflows.describing.folder import SidecarFolder
from synthface.workflows.describing.sidecar import Sidecar


@pytest.fixture
def synthetic(tmp_path: Path, write_faceset) -> Path:  # type: ignore[no-untyped-def]
    return write_faceset(tmp_path / "synthetic", n_identities=3, per_identity=14, kind="synthetic", size=32)  # type: ignore[no-any-return]


def _describe(faceset: Path, out: Path, **options: object) -> list[dict[str, object]]:
    chosen = {"detector": "none", "recognizer": "none", **options}
    describe.run(describe.Options(faceset=faceset, out=out, **chosen))  # type: ignore[arg-type]
    return list(Sidecar.load(out, FaceSet.load(faceset)).lines())


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_line_an_image_in_the_order_of_the_manifest(synthetic: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in synthetic.rglob("*") if path.is_file()}
    lines = _describe(synthetic, tmp_path / "sidecar", recognizer="synthface-small")
    faces = FaceSet.load(synthetic)
    assert [line["path"] for line in lines] == [record.path for record in faces.records]
    assert lines[5]["sharpness"] == pytest.approx(sharpness(faces.read_image(5)[None])[0], abs=1e-3)
    assert all(-1 <= line["similarity"] <= 1 for line in lines)  # type: ignore[operator]
    assert "landmarks" not in lines[0]
    assert {path: path.read_bytes() for path in synthetic.rglob("*") if path.is_file()} == before
    summary = json.loads((tmp_path / "sidecar" / "sidecar.json").read_text())
    values = [line["similarity"] for line in lines]
    assert summary["scores"]["similarity"]["mean"] == pytest.approx(np.mean(values))  # type: ignore[arg-type]
    assert summary["scores"]["similarity"]["quantiles"]["0.25"] == pytest.approx(np.quantile(values, 0.25))  # type: ignore[arg-type]
    assert summary["scores"]["yaw"] == {"n": 0}
    page = (tmp_path / "sidecar" / "sidecar.html").read_text()
    assert "Similarity to the class" in page
    assert "Yaw" not in page.split("<h2>Distributions")[1]


def test_a_stopped_run_ends_the_same(synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _describe(synthetic, tmp_path / "whole")
    add = SidecarFolder.add

    def stop(self: SidecarFolder, path: str, facts: dict[str, object]) -> None:
        if "p2/3" in path:
            raise KeyboardInterrupt
        add(self, path, facts)

    monkeypatch.setattr(SidecarFolder, "add", stop)
    with pytest.raises(KeyboardInterrupt):
        _describe(synthetic, tmp_path / "stopped")
    monkeypatch.setattr(SidecarFolder, "add", add)
    assert not (tmp_path / "stopped").exists()
    with pytest.raises(ConfigError, match="begun with other settings"):
        _describe(synthetic, tmp_path / "stopped", recognizer="synthface-small")
    _describe(synthetic, tmp_path / "stopped")
    assert _bytes(tmp_path / "stopped") == _bytes(tmp_path / "whole")


def test_a_sidecar_belongs_to_its_set_and_goes_with_its_release(
    synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = _describe(synthetic, tmp_path / "sidecar")
    faces = FaceSet.load(synthetic)
    options = {"faceset": synthetic, "sidecar": tmp_path / "sidecar", "acknowledge_risk": "a test of the sidecar"}
    release.run(release.Options(out=tmp_path / "release", encoding="jpeg", **options))  # type: ignore[arg-type]
    released = [json.loads(line) for line in (tmp_path / "release" / "sidecar.jsonl").read_text().splitlines()]
    assert [line["path"] for line in released] == [r.path for r in FaceSet.load(tmp_path / "release").records]
    assert [line["contrast"] for line in released] == [line["contrast"] for line in lines]
    assert main(["verify", str(tmp_path / "release")]) == 0
    _describe(synthetic, tmp_path / "sidecar")
    assert "described already" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="holds something else"):
        _describe(synthetic, tmp_path / "sidecar", recognizer="synthface-small")
    with FaceSetWriter(tmp_path / "other", kind="synthetic", record=faces.info["made_by"]) as writer:
        writer.add_file(faces.records[0], faces.root / faces.records[0].path)
        other = writer.finish()
    with pytest.raises(DataError, match="another set"):
        Sidecar.load(tmp_path / "sidecar", other)
    (tmp_path / "sidecar" / "sidecar.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match="was changed"):
        Sidecar.load(tmp_path / "sidecar", faces)


def test_likeness_leaves_the_image_itself_out() -> None:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(9, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.array([0, 0, 0, 1, 2, 2, 0, 2, 2])
    found = likeness_to_class(vectors, labels)
    for row in range(9):
        others = [vectors[k] for k in range(9) if labels[k] == labels[row] and k != row]
        if not others:
            assert np.isnan(found[row])
            continue
        centre = np.mean(others, axis=0)
        assert found[row] == pytest.approx(vectors[row] @ centre / np.linalg.norm(centre))
    assert distribution(found)["n"] == 8
    assert distribution(np.array([np.nan])) == {"n": 0}


@pytest.mark.shared
def test_small_aligned_photos_have_landmarks_at_the_template_and_mirrored_ones_look_the_other_way(
    shared: Path,
) -> None:
    files = list_source(shared / "data/lfw/lfw_aligned_112-00000.tar")[:40]
    small = [resize_image(decode_image(bytes(content)), 64, 64) for _, content in read_files(files)]  # type: ignore[arg-type]
    detector = FaceDetector(DetectorConfig(min_face=MIN_FACE))
    found = describe_images(small, detector)
    mirrored = describe_images([image[:, ::-1].copy() for image in small], detector)
    assert all("landmarks" in facts for facts in [*found, *mirrored])
    landmarks = np.array([facts["landmarks"] for facts in found])
    at_112 = (landmarks + 0.5) * 112 / 64 - 0.5
    assert np.abs(at_112.mean(axis=0) - TEMPLATE).max() < 3
    pairs = np.array([[facts["yaw"], other["yaw"]] for facts, other in zip(found, mirrored, strict=True)])
    assert np.corrcoef(pairs.T)[0, 1] < -0.9
    assert pairs[:, 0].std() > 5
