"""The study of inversion: who is chosen, what is kept, what the table says."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from synthface.core.errors import ConfigError
from synthface.data import FaceSet, FaceSetWriter

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def study() -> Iterator[ModuleType]:
    sys.path.insert(0, str(SCRIPTS))
    spec = importlib.util.spec_from_file_location("study_inversion", SCRIPTS / "study_inversion.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["study_inversion"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(SCRIPTS))


def write_faces(out: Path, people: int) -> FaceSet:
    """Every third person has one picture only, the others two or three."""
    generator = np.random.default_rng(0)
    with FaceSetWriter(out, kind="synthetic", record={"command": "test"}) as writer:
        for person in range(people):
            pattern = generator.integers(0, 256, (4, 4, 3)).repeat(4, 0).repeat(4, 1)
            for k in range(1 + person % 3):
                image = np.clip(pattern + generator.normal(0, 25, pattern.shape), 0, 255).astype(np.uint8)
                writer.add(f"images/P{person:03d}_{k}.png", image, identity=f"P{person:03d}")
        writer.finish()
    return FaceSet.load(out)


def test_parts_are_disjoint_people_with_two_photos(study: ModuleType, tmp_path: Path) -> None:
    faces = write_faces(tmp_path / "faces", 150)
    tuning, report = (study.choose_targets(faces, part, 36, None, 0) for part in ("tuning", "report"))
    assert len(tuning.rows) == 64
    assert len(report.rows) == 36
    people = [set(part.owners[part.rows]) for part in (tuning, report)]
    assert len(people[0]) == 64  # one photo each
    assert not people[0] & people[1]
    assert all(int(name[1:]) % 3 for part in people for name in part)
    again = study.choose_targets(faces, "tuning", 36, None, 0)
    assert np.array_equal(again.rows, tuning.rows)
    assert again.sha256 == tuning.sha256 != study.choose_targets(faces, "tuning", 36, None, 1).sha256
    assert np.array_equal(study.choose_targets(faces, "tuning", 36, 5, 0).rows, tuning.rows[:5])
    with pytest.raises(ConfigError, match="100 people with two photos; too few for the report part"):
        study.choose_targets(faces, "report", 37, None, 0)


def test_seconds_leave_out_start_and_compilation(study: ModuleType) -> None:
    now = [0.0]

    def reports() -> Iterator[SimpleNamespace]:
        for group in range(2):
            for step in range(5):
                now[0] += 100 if step == 0 else 2
                yield SimpleNamespace(finished=f"group {group}" if step == 4 else None)

    taken = []
    for group, seconds in study.timed_groups(reports(), lambda: now[0]):
        taken.append((group, seconds))
        now[0] += 50  # writing files is not the inversion's time
    assert taken == [("group 0", 10), ("group 1", 10)]


def test_study_runs_once_and_sums_up(
    study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from test_invert_workflow import write_recognizer

    names = [str(write_recognizer(tmp_path / f"tiny{k}.safetensors", k)) for k in range(2)]
    monkeypatch.setattr(study, "DIRECTIONS", {"a": tuple(names), "b": tuple(names[::-1])})
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "cache"))
    faces = write_faces(tmp_path / "faces", 96).root
    out = tmp_path / "out"
    command = ["study", "--faces", str(faces), "--out", str(out), "--limit", "3", "--steps", "2", "--directions", "a"]
    command += ["--prior-faces", str(faces), "--arms", "fast", "eigenfaces"]
    monkeypatch.setattr(sys, "argv", command)
    assert study.main() == 0
    printed = capsys.readouterr().out
    assert "tuning: 3 people, list sha256 " in printed
    assert not any(f"P{k:03d}" in file.read_text() for k in range(96) for file in out.glob("study_inversion.*"))
    summary = json.loads((out / "study_inversion.json").read_text())
    assert [row["arm"] for row in summary["rows"]] == ["fast", "eigenfaces"]
    assert [row["template_only"] for row in summary["rows"]] == [True, False]
    fast, other = summary["rows"]
    assert fast["gain"]["gain"] == 0
    assert other["gain"]["gain"] == pytest.approx(other["judged"]["cosine_mean"] - fast["judged"]["cosine_mean"])
    table = (out / "study_inversion.md").read_text().splitlines()
    assert len({line.count("|") for line in table}) == 1
    assert table[3].startswith("| eigenfaces * |")

    monkeypatch.setattr(study, "inversion_steps", lambda *_, **__: pytest.fail("a finished group ran again"))
    assert study.main() == 0
    assert json.loads((out / "study_inversion.json").read_text()) == summary
    monkeypatch.setattr(sys, "argv", [*command, "generator"])
    with pytest.raises(SystemExit):
        study.main()
    assert "arm generator needs --generator" in capsys.readouterr().err


def test_every_arm_is_a_setting_of_its_own(study: ModuleType) -> None:
    basis = study.ARMS["fast"].config(None)
    for name, arm in study.ARMS.items():
        config = arm.config(None)
        assert arm.config(7).steps == 7
        assert name == "fast" or config != basis or arm.uses is not None, name
        for key, value in arm.changes.items():
            assert value != getattr(basis, key), f"{name} changes nothing in {key}"
