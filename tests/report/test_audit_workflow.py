"""The audit command: label maps, exit codes, files, refusals. Embeddings are stood in for by a drawn face each."""

import hashlib
import json

import numpy as np
import pytest

from synthface.core.errors import AuditError, ConfigError
from synthface.data import Embeddings, FaceSet, FaceSetWriter
from synthface.privacy import AuditConfig
from synthface.workflows import audit as workflow

GATES = AuditConfig(permutations=199, bootstraps=50, min_holdout=10)


def picture(text):
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    return np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)


def make(folder, name, people, photos=4, kind="real", extra=None, fields=None):
    """Write a FaceSet whose images are noise; the face is in the name of the source."""
    record = {"command": "test"}
    with FaceSetWriter(folder / name, kind=kind, record=record, extra=extra) as writer:
        for person, face in people.items():
            for j in range(photos):
                path = f"images/{person}/{j}.png"
                more = (fields or {}).get(person, {})
                writer.add(path, picture(name + path), identity=person, source=face, **more)
        return writer.finish()


def fake_embed(faceset, recognizer, *, compute=None, flip=False, via_size=None):
    rng = np.random.default_rng(0)
    vectors = []
    for record in faceset.records:
        key = f"{record.source}{recognizer}".encode()
        face = np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest()[:4], "big")).standard_normal(32)
        vectors.append(face + 0.5 * rng.standard_normal(32))
    unit = np.array(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [record.identity for record in faceset.records]
    info = {"recognizer_sha256": "0" * 64, "via_size": via_size}
    return Embeddings(unit, names, [record.path for record in faceset.records], None, info)


@pytest.fixture
def sets(tmp_path, monkeypatch):
    monkeypatch.setattr(workflow, "embed_faceset", fake_embed)
    for role in ("train", "holdout", "placebo"):
        make(tmp_path, role, {f"Real {role} {k:02d}": f"{role}{k}" for k in range(40)})
    return tmp_path


@pytest.fixture
def quick(monkeypatch):
    """Leave the figures out: they take most of the time."""
    monkeypatch.setattr("synthface.report.audit_page._plots", lambda *_: [])


def options(folder, **changes):
    values = {role: folder / role for role in ("synthetic", "train", "holdout", "placebo")}
    values |= {"recognizers": ["one", "two"], "out": folder / "out", "gates": GATES} | changes
    return workflow.Options(**values)


def make_leaky(folder):
    train = FaceSet.load(folder / "train")
    return make(
        folder,
        "synthetic",
        {f"class-{k:06d}": f"train{k}" for k in range(40)},
        kind="synthetic",
        extra={"generator": {"trained_on_manifest_sha256": train.manifest_sha256}},
        fields={f"class-{k:06d}": {"class_index": k} for k in range(40)},
    )


def test_a_leak_is_written_down_and_exits_1(sets, capsys):
    make_leaky(sets)
    assert workflow.run(options(sets)) == 1
    assert capsys.readouterr().out.startswith("FAIL: Real people can be found")
    result = json.loads((sets / "out" / "audit.json").read_text())
    assert result["verdict"] == "FAIL"
    assert result["gates"]["A4"]["passed"] is False
    assert result["made_by"]["inputs"]["synthetic manifest"] == FaceSet.load(sets / "synthetic").manifest_sha256
    private, public = ((sets / "out" / name).read_text() for name in ("report.html", "report_public.html"))
    assert "Real train 00" in private
    assert private.count("<img") >= 40
    assert "Real train" not in public
    assert "class-0000" not in public
    assert "<img" not in public


def test_the_same_audit_again_is_the_same_and_another_is_refused(sets, quick, capsys):
    make_leaky(sets)
    workflow.run(options(sets))
    files = {path.name: path.read_bytes() for path in (sets / "out").iterdir()}
    assert workflow.run(options(sets)) == 1
    assert workflow.run(options(sets, out=sets / "again")) == 1
    assert files == {path.name: path.read_bytes() for path in (sets / "again").iterdir()}
    with pytest.raises(ConfigError, match="not this audit"):
        workflow.run(options(sets, recognizers=["one", "three"]))


def test_new_people_are_inconclusive_and_exit_2(sets, quick, capsys):
    make(sets, "synthetic", {f"new-{k}": f"new{k}" for k in range(40)}, kind="synthetic")
    assert workflow.run(options(sets)) == 2
    assert "INCONCLUSIVE" in capsys.readouterr().out


def test_without_real_data_the_command_says_what_to_give(sets, quick, capsys):
    make(sets, "synthetic", {"new": "new"}, kind="synthetic")
    assert workflow.run(options(sets, train=None, holdout=None, placebo=None)) == 2
    out = capsys.readouterr().out
    assert "trained on" in out
    assert "hold-out" in out


def test_real_faces_in_place_of_the_set_are_audited_and_remarked(sets, quick):
    make(sets, "synthetic", {f"new-{k}": f"new{k}" for k in range(5)})
    workflow.run(options(sets))
    assert "is a real FaceSet" in (sets / "out" / "report.html").read_text().replace("audited is", "is")


def test_mixed_identities_lead_to_their_heaviest_parent(sets):
    train = FaceSet.load(sets / "train")
    codes = {
        "mixed-0": {"code": {"classes": [3, 7], "weights": [0.2, 0.8]}},
        "mixed-1": {"code": {"classes": [39, 0], "weights": [0.6, 0.4]}},
    }
    extra = {"generator": {"trained_on_manifest_sha256": train.manifest_sha256}}
    synthetic = make(sets, "synthetic", {"mixed-0": "a", "mixed-1": "b"}, kind="synthetic", extra=extra, fields=codes)
    labels = workflow.label_map({"synthetic": synthetic, "train": train})
    assert labels == {"mixed-0": "Real train 07", "mixed-1": "Real train 39"}


def test_labels_of_a_generator_trained_elsewhere_are_not_used(sets):
    extra = {"generator": {"trained_on_manifest_sha256": "0" * 64}}
    fields = {"class-0": {"class_index": 0}}
    synthetic = make(sets, "synthetic", {"class-0": "a"}, kind="synthetic", extra=extra, fields=fields)
    assert workflow.label_map({"synthetic": synthetic, "train": FaceSet.load(sets / "train")}) is None


def test_real_sets_are_brought_to_the_resolution_of_the_release(sets):
    make(sets, "synthetic", {"new": "new"}, kind="synthetic")
    facesets = {role: FaceSet.load(sets / role) for role in ("synthetic", "train")}
    embedded = workflow._embed(facesets, options(sets))
    assert embedded["train"]["one"].info["via_size"] == 16
    assert embedded["synthetic"]["one"].info["via_size"] is None


def test_a_photo_in_two_sets_is_refused(sets):
    train = FaceSet.load(sets / "train")
    with FaceSetWriter(sets / "copy", kind="real", record={"command": "test"}) as writer:
        writer.add("a.png", train.read_image(0), identity="Somebody else")
        copy = writer.finish()
    with pytest.raises(AuditError, match=r"--holdout a\.png is also in --train"):
        workflow.check_images({"synthetic": train, "train": train, "holdout": copy})


def test_flags_are_checked(sets):
    with pytest.raises(ConfigError, match="--recognizers"):
        options(sets, recognizers=["one", "one"])
