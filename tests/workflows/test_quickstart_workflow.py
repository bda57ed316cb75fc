"""The quickstart on the models that ship."""

import json
import re
from pathlib import Path

import pytest

from gan.weights import load_generator, read_header
from synthface.core.hashing import sha256_file
from synthface.data import FaceSet
from synthface.models import GENERATOR, GENERATOR_AUDIT, GENERATOR_AUDIT_PAGE, RECOGNIZER, shipped_model
from synthface.recognition import load_recognizer
from synthface.workflows import quickstart


@pytest.mark.slow
def test_the_main_job_ends_in_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = quickstart.Options(out=tmp_path / "quickstart", identities=6, per_identity=4)
    quickstart.run(options)
    assert str(options.out / "index.html") in capsys.readouterr().out
    page = (options.out / "index.html").read_text(encoding="utf-8")
    audited = json.loads(shipped_model(GENERATOR_AUDIT).read_text(encoding="utf-8"))
    assert audited["verdict"] in page
    assert all(gate["title"] in page for gate in audited["gates"])
    assert (options.out / GENERATOR_AUDIT_PAGE).read_bytes() == shipped_model(GENERATOR_AUDIT_PAGE).read_bytes()
    assert "http://" not in page.replace("http://www.w3.org", ""), "the page must stand alone"
    assert len(FaceSet.load(options.out / "synthetic")) == 24
    assert len(FaceSet.load(options.out / "inversion")) == 8
    figures = json.loads((options.out / "summary.json").read_text(encoding="utf-8"))
    assert figures["n_mated"] == 6 * 6
    assert figures["n_non_mated"] == 24 * 23 // 2 - 36
    assert 0 <= figures["eer"] <= 1
    before = {path: path.read_bytes() for path in options.out.rglob("*") if path.is_file()}
    quickstart.run(options)
    assert {path: path.read_bytes() for path in options.out.rglob("*") if path.is_file()} == before


def test_the_shipped_audit_is_of_the_shipped_generator_and_names_nobody() -> None:
    audited = json.loads(shipped_model(GENERATOR_AUDIT).read_text(encoding="utf-8"))
    assert audited["generator_sha256"] == sha256_file(shipped_model(GENERATOR))
    assert audited["sizes"]["synthetic"]["identities"] == load_generator(shipped_model(GENERATOR)).n_classes
    assert audited["recognizers"] == ["mobilefacenet-ms1m", "mobilefacenet-casia"]
    page = shipped_model(GENERATOR_AUDIT_PAGE).read_text(encoding="utf-8")
    assert f'role="status">{audited["verdict"]}<' in page
    assert "data:image/jpeg" not in page, "the public page shows no faces"
    assert not re.search(r"[A-Z][a-z]+_[A-Z][a-z]+", page + json.dumps(audited)), "it looks as if LFW names were in it"


def test_the_shipped_models_are_small_and_hold_no_training_class() -> None:
    assert shipped_model(GENERATOR).stat().st_size < 10e6
    assert shipped_model(RECOGNIZER).stat().st_size < 10e6
    info = read_header(shipped_model(GENERATOR))["info"]
    assert "trained_on_manifest_sha256" not in info, "a class could be followed to a person"
    assert "random numbers that were not kept" in info["identities"]
    assert load_generator(shipped_model(GENERATOR)).n_classes == 500
    names = [name for name, _ in load_recognizer("synthface-small").named_parameters()]
    assert not any("classif" in name or name.startswith("margin") for name in names)
