"""Cleaning: what goes, what is logged, who may not have a say, how often, and the audit afterwards."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from drawn_people import GATES, make, options, sha256_of
from told_audit import told_audit

from synthface.core.errors import AuditError, ConfigError, WeightsError
from synthface.core.hashing import sha256_bytes, sha256_file
from synthface.core.run_record import to_json
from synthface.data import FaceSet
from synthface.recognition import catalogue
from synthface.workflows import audit, clean
from synthface.workflows.auditing.result import read_audit


@pytest.fixture
def flagged_set(sets):
    """A synthetic set of 6 classes; the audit beside it flags class-1, and one image of class-2."""
    faceset = make(sets, "synthetic", {f"class-{k}": f"new{k}" for k in range(6)}, kind="synthetic")
    write_audit(sets, faceset, ["class-1"], ["images/class-2/0.png"])
    return sets


def write_audit(folder, faceset, classes, images, name="audit"):
    (folder / name).mkdir()
    result = told_audit(
        faceset.manifest_sha256,
        verdict="FAIL",
        config=to_json(GATES),
        flagged=classes,
        flagged_images=[{"image": image, "why": "copy of a training photo"} for image in images],
    )
    holdout = FaceSet.load(folder / "holdout").manifest_sha256
    result["made_by"]["inputs"] |= {"recogniser one": sha256_of("one"), "holdout manifest": holdout}
    (folder / name / "audit.json").write_text(json.dumps(result))


def run(folder, **changes):
    values = {"faceset": folder / "synthetic", "audit": folder / "audit", "out": folder / "cleaned"} | changes
    return clean.run(clean.Options(**values))


def paths(faceset):
    return {record.path for record in faceset.records}


@pytest.mark.parametrize("is_first", [True, False])
def test_no_process_audits_before_the_first_one_has_written(flagged_set, monkeypatch, is_first):
    steps = []
    fabric = SimpleNamespace(is_global_zero=is_first, barrier=lambda: steps.append("all are here"))
    monkeypatch.setenv("RANK", str(int(not is_first)))
    monkeypatch.setattr(clean, "fabric_of", lambda _: fabric)
    monkeypatch.setattr(clean, "_write", lambda *_: steps.append("written"))
    monkeypatch.setattr(clean, "_audit_again", lambda *_: steps.append("audited"))
    run(flagged_set)
    assert steps == [*(["written"] if is_first else []), "all are here", "audited"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"config": {}}, r"'config.alpha' is missing, unknown or of another type"),
        ({"config": {**to_json(GATES), "max_lies": 1}}, r"'config.max_lies' is missing, unknown"),
        ({"config": {**to_json(GATES), "max_rounds": "3"}}, r"max_rounds is '3'"),
        ({"version": 2}, "the version of audit.json is 2, this synthface reads 3"),
        ({"flagged_images": [3]}, r"'flagged_images.\*.image'"),
        ({"recognizers": ["two"]}, "'made_by.inputs.recogniser two'"),
        ({"made_by": {"inputs": {}, "config": {}}}, "'made_by.inputs.synthetic manifest'"),
        ({"format": "other"}, "holds no valid audit.json; make it"),
    ],
)
def test_a_damaged_audit_is_refused_by_file_and_field(flagged_set, damage, message):
    file = flagged_set / "audit" / "audit.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | damage))
    with pytest.raises(AuditError, match=message) as refusal:
        run(flagged_set)
    assert "audit.json" in str(refusal.value)
    assert str(flagged_set / "audit") in str(refusal.value)


def test_recognisers_are_found_again_where_they_were(flagged_set, monkeypatch):
    """An audit calls them by name; the next one needs the paths."""
    file = flagged_set / "audit" / "audit.json"
    result = json.loads(file.read_text())
    result["made_by"]["config"]["recognizers"] = ["runs/one"]
    file.write_text(json.dumps(result))
    monkeypatch.setattr(audit, "run", lambda options: options.recognizers)
    roles = {role: flagged_set / role for role in ("train", "holdout")}
    for sealed in ("one", "runs/one", "elsewhere/one"):
        with pytest.raises(AuditError, match="has had a part"):
            run(flagged_set, sealed=sealed, **roles)
    assert run(flagged_set, sealed="three", **roles) == ["runs/one", "three"]
    noted = FaceSet.load(flagged_set / "cleaned").info["remediation"]
    assert noted["used_recognizers"] == ["one"]


def test_classes_go_as_a_whole_and_the_rest_stays_byte_for_byte(flagged_set, capsys):
    assert run(flagged_set) == 2
    assert "INCONCLUSIVE: not audited again" in capsys.readouterr().out
    before, after = FaceSet.load(flagged_set / "synthetic"), FaceSet.load(flagged_set / "cleaned")
    assert after.identities == ("class-0", "class-3", "class-4", "class-5")
    kept = [record for record in before.records if record.path in paths(after)]
    assert list(after.records) == kept
    assert all(np.array_equal(after.read_image(i), before.read_image(before.records.index(kept[i]))) for i in (0, 15))


def test_images_can_go_alone(flagged_set):
    run(flagged_set, drop="images")
    after = FaceSet.load(flagged_set / "cleaned")
    gone = paths(FaceSet.load(flagged_set / "synthetic")) - paths(after)
    assert gone == {"images/class-2/0.png", *(f"images/class-1/{j}.png" for j in range(4))}


def test_every_step_is_in_the_log_and_the_log_in_the_record(flagged_set):
    run(flagged_set)
    before, after = FaceSet.load(flagged_set / "synthetic"), FaceSet.load(flagged_set / "cleaned")
    content = (flagged_set / "cleaned" / clean.LOG).read_bytes()
    header, *steps = map(json.loads, content.decode().splitlines())
    assert header["faceset"] == before.manifest_sha256
    assert header["audit"] == sha256_file(flagged_set / "audit" / "audit.json")
    hashes = {record.path: record.sha256 for record in before.records}
    assert {step["path"]: step["sha256"] for step in steps} == {
        path: hashes[path] for path in paths(before) - paths(after)
    }
    assert {step["why"] for step in steps} == {"class flagged", "class of a flagged image", "copy of a training photo"}
    noted = after.info["remediation"]
    assert noted["log_sha256"] == sha256_bytes(content)
    assert noted["used_recognizers"] == ["one"]
    assert list(noted["audits"].values()) == [1]


def _not_here(name, **_):
    raise WeightsError(f"{name} is not here")


def test_the_sealed_recogniser_has_no_say(flagged_set, monkeypatch):
    for name in ("one", "copy of one"):
        with pytest.raises(AuditError, match=f"--sealed {name} has had a part"):
            run(flagged_set, sealed=name)
    assert not (flagged_set / "cleaned").exists()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(catalogue, "find_weights", _not_here)
        with pytest.raises(WeightsError):
            run(flagged_set, sealed="three", **{role: flagged_set / role for role in ("train", "holdout")})
        run(flagged_set, sealed="three")  # to be audited where it is
    cleaned = FaceSet.load(flagged_set / "cleaned")
    weights = {name: sha256_of(name.removeprefix("copy of ")) for name in ("copy of one", "three")}
    assert audit.remediation_of({"synthetic": cleaned}, weights).used_recognizers == ("copy of one", "one")


def test_a_hold_out_is_used_three_times_and_no_more(flagged_set):
    faceset = FaceSet.load(flagged_set / "synthetic")
    for step in range(3):
        folder, out = faceset.root, flagged_set / f"round{step}"
        write_audit(flagged_set, faceset, [f"class-{step}"], [], name=f"audit{step}")
        arguments = {"faceset": folder, "audit": flagged_set / f"audit{step}", "out": out}
        if step == 2:
            with pytest.raises(AuditError, match="audited 3 times against this hold-out"):
                run(flagged_set, **arguments)
            break
        run(flagged_set, **arguments)
        faceset = FaceSet.load(out)
    assert list(faceset.info["remediation"]["audits"].values()) == [2]
    assert (faceset.root / clean.LOG).read_text().count('"step":"clean"') == 2


def test_what_cannot_be_cleaned_is_refused(flagged_set):
    other = make(flagged_set, "other", {"x": "x"}, kind="synthetic")
    with pytest.raises(AuditError, match="belongs to another set"):
        run(flagged_set, faceset=other.root)
    faceset = FaceSet.load(flagged_set / "synthetic")
    write_audit(flagged_set, faceset, [], [], name="nothing")
    with pytest.raises(AuditError, match="nothing to take out"):
        run(flagged_set, audit=flagged_set / "nothing")
    write_audit(flagged_set, faceset, list(faceset.identities), [], name="everything")
    with pytest.raises(AuditError, match="no set is left"):
        run(flagged_set, audit=flagged_set / "everything")
    with pytest.raises(AuditError, match="no valid audit"):
        run(flagged_set, audit=flagged_set)
    with pytest.raises(ConfigError, match="--regenerate needs --generator"):
        run(flagged_set, regenerate=True)


def test_a_leak_is_found_taken_out_and_judged_by_a_sealed_recogniser(sets, quick, capsys):
    people = {f"new-{k:02d}": f"new{k}" for k in range(20)} | {"new-05": "train5", "new-11": "train11"}
    make(sets, "synthetic", people, kind="synthetic")
    assert audit.run(options(sets, recognizers=["one"])) in (1, 2)
    first = read_audit(sets / "out")
    named = {*first.flagged_classes, *(path.split("/")[1] for path in first.flagged_images)}
    assert {"new-05", "new-11"} <= named
    roles = {role: sets / role for role in ("train", "holdout", "placebo")}
    people = {f"Real train {k:02d}": f"train{k}" for k in range(4)}
    roles["train_other"] = make(sets, "other", people).root
    code = run(sets, audit=sets / "out", sealed="three", **roles)
    again = json.loads((sets / "cleaned-audit" / "audit.json").read_text())
    assert code == audit.EXIT_CODES[again["verdict"]]
    assert again["recognizers"] == ["one", "three"]
    assert again["sealed"] == ["three"]
    assert again["remediation"]["rounds"] == 2
    assert again["gates"]["A8"]["applicable"]
    assert again["flagged"] == []
    assert again["kinds"]["train_other"] == "real"


def test_images_are_made_again_with_new_seeds(sets, tmp_path, monkeypatch):
    from synthface.models import GENERATOR, shipped_model
    from synthface.workflows import generate

    if not shipped_model(GENERATOR).is_file():
        pytest.skip("no generator ships with this checkout")
    generate.run(generate.Options(out=sets / "synthetic", classes="0-2", per_class=2))
    before = FaceSet.load(sets / "synthetic")
    write_audit(sets, before, [], ["images/class-000001/00000.png"])
    run(sets, drop="images", regenerate=True, generator=shipped_model(GENERATOR))
    after = FaceSet.load(sets / "cleaned")
    assert paths(after) == paths(before)
    changed = [(old, new) for old, new in zip(before.records, after.records, strict=True) if old != new]
    assert [old.path for old, _ in changed] == ["images/class-000001/00000.png"]
    old, new = changed[0]
    assert old.seed != new.seed
    assert old.sha256 != new.sha256
    assert (old.class_index, old.psi, old.generator) == (new.class_index, new.psi, new.generator)
    assert '"step":"make again"' in (sets / "cleaned" / clean.LOG).read_text()
    after.read_image(after.records.index(new))
    wrong = make(sets, "foreign", {"a": "a", "b": "b"}, kind="synthetic", fields={"a": {"generator": "0" * 64}})
    write_audit(sets, wrong, ["a"], [], name="foreign-audit")
    foreign = {"faceset": wrong.root, "audit": sets / "foreign-audit", "out": sets / "x"}
    with pytest.raises(AuditError, match="did not make"):
        run(sets, **foreign, regenerate=True, generator=shipped_model(GENERATOR))
