"""Release and verify: marks, hashes, and the gate before them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthface.cli import main
from synthface.core.errors import AuditError
from synthface.data import FaceSet
from synthface.data.marks import DIGITAL_SOURCE_TYPE, read_mark
from synthface.workflows import release


@pytest.fixture
def synthetic(tmp_path: Path, write_faceset: Callable[..., Path]) -> Path:
    return write_faceset(tmp_path / "synthetic", n_identities=3, per_identity=2, kind="synthetic", size=32)


def _audit(folder: Path, verdict: str, manifest: str) -> Path:
    folder.mkdir()
    result = {"verdict": verdict, "claim": "No class flagged.", "made_by": {"inputs": {"synthetic manifest": manifest}}}
    (folder / "audit.json").write_text(json.dumps(result))
    (folder / "report_public.html").write_text("<p>public")
    (folder / "report.html").write_text("<p>private")
    return folder


def test_a_released_set_is_marked_hashed_and_keeps_its_pixels(synthetic: Path, tmp_path: Path) -> None:
    before = FaceSet.load(synthetic)
    audit = _audit(tmp_path / "audit", "PASS", before.manifest_sha256)
    release.run(release.Options(faceset=synthetic, audit=audit, out=tmp_path / "release"))
    after = FaceSet.load(tmp_path / "release")
    assert [record.identity for record in after.records] == [record.identity for record in before.records]
    for index in range(len(before)):
        assert np.array_equal(after.read_image(index), before.read_image(index))
        content = (after.root / after.records[index].path).read_bytes()
        mark = read_mark(content)
        assert mark is not None
        assert after.info["set_id"] in mark
    with Image.open(after.root / after.records[0].path) as image:
        image.load()
        assert DIGITAL_SOURCE_TYPE in str(image.info)
    assert not (after.root / "report.html").exists()
    assert (after.root / "report_public.html").exists()
    assert "PASS" in (after.root / "README.md").read_text()
    assert main(["verify", str(after.root)]) == 0


@pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE"])
def test_nothing_is_released_without_a_pass(synthetic: Path, tmp_path: Path, verdict: str) -> None:
    audit = _audit(tmp_path / "audit", verdict, FaceSet.load(synthetic).manifest_sha256)
    with pytest.raises(AuditError, match=verdict):
        release.run(release.Options(faceset=synthetic, audit=audit, out=tmp_path / "release"))
    assert not (tmp_path / "release").exists()


def test_a_pass_of_another_set_does_not_count(synthetic: Path, tmp_path: Path) -> None:
    audit = _audit(tmp_path / "audit", "PASS", "0" * 64)
    with pytest.raises(AuditError, match="another set"):
        release.run(release.Options(faceset=synthetic, audit=audit, out=tmp_path / "release"))


def test_no_audit_at_all(synthetic: Path, tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="not audited"):
        release.run(release.Options(faceset=synthetic, out=tmp_path / "release"))


def test_an_acknowledged_risk_stands_on_the_card(synthetic: Path, tmp_path: Path) -> None:
    reason = "internal smoke test, not for publication"
    release.run(release.Options(faceset=synthetic, out=tmp_path / "release", acknowledge_risk=reason))
    card = (tmp_path / "release" / "README.md").read_text()
    assert reason in card
    assert "not audited" in card


def test_verify_finds_what_was_tampered_with(
    synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "release"
    release.run(release.Options(faceset=synthetic, out=out, acknowledge_risk="a test of what verify finds"))
    faces = FaceSet.load(out)
    changed, removed = (out / faces.records[k].path for k in (0, 1))
    changed.write_bytes(changed.read_bytes()[:-1])
    removed.unlink()
    (out / "images" / "stray.png").write_bytes(b"")
    (out / "README.md").write_text("edited")
    capsys.readouterr()
    assert main(["verify", str(out)]) == 1
    shown = capsys.readouterr().out
    for name in (changed.name, removed.name, "stray.png", "README.md"):
        assert name in shown
