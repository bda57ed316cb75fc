"""The quickstart on the models that ship."""

import html
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from gan.weights import load_generator, read_header
from synthface.core.hashing import sha256_file
from synthface.data import FaceSet
from synthface.models import GENERATOR, GENERATOR_AUDIT, GENERATOR_AUDIT_PAGE, RECOGNIZER, shipped_model
from synthface.recognition import load_recognizer
from synthface.report.quickstart_page import quickstart_page
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


def test_the_commands_of_the_page_run_wherever_they_are_pasted(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "sheet.png")
    names = ("eer", "inversion_same_model_cosine", "inversion_judge_cosine")
    figures = dict.fromkeys((*names, "judge_mated_cosine", "judge_non_mated_cosine"), 0.5)
    page = quickstart_page(
        rows=[[np.zeros((8, 8, 3), np.uint8)] * 2] * 2,
        inversion_sheet=tmp_path / "sheet.png",
        figures={
            **figures,
            **dict.fromkeys(("n_images", "n_identities", "n_mated", "n_non_mated"), 4),
            **dict.fromkeys(("eer_interval", "inversion_judge_interval"), (0.4, 0.6)),
            **dict.fromkeys(("recognizer", "judge"), "synthface-small"),
        },
        mated=np.array([0.8, 0.9]),
        non_mated=np.array([0.1, 0.2]),
        audit=json.loads(shipped_model(GENERATOR_AUDIT).read_text(encoding="utf-8")),
        folder=tmp_path / "my work",
        programs=tmp_path / "envs & co" / "bin",
    )
    lines = html.unescape(page.partition("With your own photos")[2].partition("<pre><code>")[2]).splitlines()
    assert shlex.split(lines[0]) == ["cd", str(tmp_path / "my work")]
    (tmp_path / "my work").mkdir()
    shell = subprocess.run(["sh", "-c", f"{lines[0]}\n{lines[1]}\npwd; echo $PATH"], capture_output=True, text=True)
    folder, path = shell.stdout.splitlines()
    assert folder == str(tmp_path / "my work")
    assert path.split(":")[0] == str(tmp_path / "envs & co" / "bin")


def test_the_quickstart_tells_the_page_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Path] = {}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("synthface.report.quickstart_page.quickstart_page", lambda **values: told.update(values) or "")
    faceset = SimpleNamespace(identities=[], records=[])
    quickstart._page(quickstart.Options(out=Path("out")), faceset, {})
    assert told["folder"] == tmp_path
    assert (told["programs"] / Path(sys.executable).name).exists()
