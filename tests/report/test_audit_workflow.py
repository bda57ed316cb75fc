"""The audit command: label maps, exit codes, files, schema. Embeddings are stood in for by colour patterns."""

import importlib.resources
import json
from dataclasses import replace

import pytest
from drawn_people import GATES, SIDE, make, make_leaky, make_new, options

from synthface.core.errors import AuditError, ConfigError
from synthface.core.hashing import sha256_file
from synthface.data import FaceSet, FaceSetWriter
from synthface.privacy import AuditConfig
from synthface.workflows import audit as workflow
from synthface.workflows.auditing.inputs import check_images
from synthface.workflows.auditing.labels import label_map
from synthface.workflows.auditing.not_concluded import not_concluded

ENOUGH = replace(GATES, permutations=2999)  # to show a leak, with the p-values of all tests corrected


def test_a_leak_is_written_down_and_exits_1(sets, capsys):
    make_leaky(sets)
    assert workflow.run(options(sets, gates=ENOUGH)) == 1
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
    workflow.run(options(sets, gates=ENOUGH))
    files = {path.name: path.read_bytes() for path in (sets / "out").iterdir()}
    assert workflow.run(options(sets, gates=ENOUGH)) == 1
    assert workflow.run(options(sets, gates=ENOUGH, out=sets / "again")) == 1
    assert files == {path.name: path.read_bytes() for path in (sets / "again").iterdir()}
    with pytest.raises(ConfigError, match="holds something else"):
        workflow.run(options(sets, recognizers=["one", "other"]))


def test_an_answer_without_the_face_detector_says_so_when_it_is_found_again(sets, quick, monkeypatch, caplog):
    make_new(sets)
    workflow.run(options(sets))
    workflow.run(options(sets))
    assert "where the face detector is installed now" not in caplog.text
    monkeypatch.setattr(workflow, "acquire", lambda facesets: None)
    workflow.run(options(sets, out=sets / "not-looked-at"))
    assert "where the face detector is installed now" not in caplog.text
    workflow.run(options(sets, out=sets / "not-looked-at"))
    assert "where the face detector is installed now" in caplog.text


def test_new_people_are_inconclusive_and_exit_2(sets, quick, capsys):
    make_new(sets)
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
    labels = label_map({"synthetic": synthetic, "train": train})
    assert labels == {"mixed-0": "Real train 07", "mixed-1": "Real train 39"}


@pytest.mark.parametrize(("name", "linked_by"), [("person {}", "names"), ("{:06d}", "numbers")])
def test_equal_names_lead_to_people_and_equal_numbers_are_told_to_be_chance(tmp_path, sets, quick, name, linked_by):
    """Numbers that RecordIO gave out: class 000003 need not be of person 000003."""
    make(sets, "numbered", {name.format(k): f"train{k}" for k in range(40)})
    make(sets, "synthetic", {name.format(k): f"new{k}" for k in range(12)}, kind="synthetic")
    workflow.run(options(sets, train=sets / "numbered"))
    result = json.loads((sets / "out" / "audit.json").read_text())
    assert result["linked_by"] == linked_by
    assert not any("no synthetic identity leads" in sentence for sentence in result["not_concluded"])
    warned = "the training people of equal numbers" in " ".join(result["not_concluded"])
    assert warned == (linked_by == "numbers")
    assert ("which may be an accident" in (sets / "out" / "report_public.html").read_text()) == warned


def test_labels_of_a_generator_trained_elsewhere_are_not_used(sets):
    extra = {"generator": {"trained_on_manifest_sha256": "0" * 64}}
    fields = {"class-0": {"class_index": 0}}
    synthetic = make(sets, "synthetic", {"class-0": "a"}, kind="synthetic", extra=extra, fields=fields)
    assert label_map({"synthetic": synthetic, "train": FaceSet.load(sets / "train")}) is None


def test_real_sets_are_brought_to_the_resolution_of_the_release(sets):
    make(sets, "synthetic", {"new": "new"}, kind="synthetic")
    facesets = {role: FaceSet.load(sets / role) for role in ("synthetic", "train")}
    embedded = workflow.embed_sets(facesets, {"public": "one"}, options(sets))
    assert embedded["train"]["public"].info["via_size"] == SIDE
    assert embedded["synthetic"]["public"].info["via_size"] is None


def test_a_photo_in_two_sets_is_refused(sets):
    train = FaceSet.load(sets / "train")
    with FaceSetWriter(sets / "copy", kind="real", record={"command": "test"}) as writer:
        writer.add("a.png", train.read_image(0), identity="Somebody else")
        copy = writer.finish()
    with pytest.raises(AuditError, match=r"--holdout a\.png is also in --train"):
        check_images({"synthetic": train, "train": train, "holdout": copy})


def test_flags_are_checked(sets):
    with pytest.raises(ConfigError, match="--recognizers"):
        options(sets, recognizers=["one", "one"])


def test_the_result_keeps_to_its_schema_and_any_change_of_shape_is_seen(sets, quick):
    from jsonschema import Draft202012Validator

    make_leaky(sets)
    workflow.run(options(sets))
    schema = json.loads((sets / "out" / "audit.schema.json").read_text())
    assert schema == json.loads(importlib.resources.files("synthface.report").joinpath("audit.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    result = json.loads((sets / "out" / "audit.json").read_text())
    assert [error.message for error in validator.iter_errors(result)] == []
    for broken in ({"verdict": "MAYBE"}, {"power": [{"kind": "verbatim"}]}, {"more": 1}, {"config_sha256": "x"}):
        assert not validator.is_valid(result | broken)


def test_planted_leaks_are_found_counted_and_told(sets, quick):
    make_new(sets)
    workflow.run(options(sets))
    result = json.loads((sets / "out" / "audit.json").read_text())
    power = {row["kind"]: row for row in result["power"]}
    assert power["verbatim"]["n"] == power["verbatim"]["found"] == 10
    assert power["class-100"]["found"] == 10
    assert [power[kind]["classes"] for kind in ("class-100", "class-20", "class-5", "class-1")] == [1, 1, 5, 25]
    assert power["class-1"]["words"].endswith("1 % show one training person: one photo in 25 classes")
    assert power["class-1"]["n"] == 10  # 1 % of a class of four is no image, of 25 classes it is one
    assert {"planted_verbatim", "planted_recompressed"} <= {check["key"] for check in result["gates"]["V4"]["checks"]}
    card = (sets / "out" / "audit.md").read_text()
    assert "| training photos as they are | 10 of 10 |" in card
    assert "Training photos as they are" in (sets / "out" / "report_public.html").read_text()


def test_groups_are_told_apart_and_small_ones_hidden_from_the_public(sets, quick):
    """24 and 16 people of each set in two groups, 6 of the training set in none; the classes differ as well."""
    make_leaky(sets)
    lines = ["identity,age group"]
    for k in range(40):
        group = "younger" if k < 24 else "older"
        lines += [f"Real holdout {k:02d},{group}", *([f"Real train {k:02d},{group}"] if k < 34 else [])]
        lines += [f"class-{k:06d},{group}"]
    (sets / "groups.csv").write_text("\n".join(lines))
    workflow.run(options(sets, attributes=sets / "groups.csv"))
    result = json.loads((sets / "out" / "audit.json").read_text())
    told = [row for row in result["people_slices"] if row["by"] == "age group" and row["recognizer"] == "one"]
    assert [(row["group"], row["n_train"], row["n_holdout"]) for row in told] == [
        ("older", 10, 16), ("younger", 24, 24), ("not stated", 6, 0)
    ]  # fmt: skip
    assert all(row["auc"] > 0.9 and row["interval"][0] > 0.5 for row in told[:2])
    assert told[2]["auc"] is None
    classes = {row["group"]: (row["flagged"], row["n"]) for row in result["class_slices"] if row["by"] == "age group"}
    flagged = [name for name in result["flagged"] if name < "class-000024"]
    assert classes == {"younger": (len(flagged), 24), "older": (len(result["flagged"]) - len(flagged), 16)}
    private, public = ((sets / "out" / name).read_text() for name in ("report.html", "report_public.html"))
    assert "not told</td>" in public
    assert "not told</td>" not in private
    assert result["made_by"]["inputs"]["attributes"] == sha256_file(sets / "groups.csv")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("person,sex\nReal train 00,f", "one column 'identity'"),
        ("identity\nReal train 00", "one for each attribute"),
        ("identity,sex\nnobody,f", "names nobody"),
        ("identity,sex\nReal train 00,f\nReal train 00,m", "twice"),
        ("identity,sex\nReal train 00", "other than 2 cells"),
        ("identity,sex\nReal train 00,f,x", "other than 2 cells"),
        ("identity,name\n" + "\n".join(f"Real train {k:02d},{k}" for k in range(21)), "21 different values of name"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(sets, text, why):
    make_new(sets, 3)
    (sets / "groups.csv").write_text(text)
    with pytest.raises(AuditError, match=why):
        workflow.run(options(sets, attributes=sets / "groups.csv"))


def test_another_generator_is_refused_for_reconstructions(sets, tmp_path):
    make_new(sets, 3)
    (tmp_path / "generator.safetensors").write_bytes(b"x")
    with pytest.raises(AuditError, match="was made by no generator"):
        workflow.run(options(sets, generator=tmp_path / "generator.safetensors"))


def test_planting_leaves_no_real_face_behind(sets, quick, monkeypatch):
    monkeypatch.setenv("SYNTHFACE_CACHE", str(sets / "cache"))
    make_new(sets)
    before = sorted(path for path in (sets / "synthetic").rglob("*"))
    workflow.run(options(sets))
    assert sorted(path for path in (sets / "synthetic").rglob("*")) == before
    assert list((sets / "cache" / "plants").iterdir()) == []


def test_the_public_files_name_nobody(sets, quick):
    make_leaky(sets)
    workflow.run(options(sets))
    for name in ("audit.md", "report_public.html"):
        text = (sets / "out" / name).read_text()
        assert "Real train" not in text
        assert "class-0" not in text
        assert "images/" not in text


@pytest.mark.parametrize("folder", ["/data/Jo O'Neil", "C:\\Jo/O'Neil"])
def test_recognisers_given_by_their_paths_go_by_their_names(sets, quick, capsys, folder):
    """In every sentence: the claim, needs, what is not concluded; one path is the beginning of the other."""
    given = [f"{folder}/net", f"{folder}/net2"]
    make_new(sets, 3)
    workflow.run(options(sets, recognizers=given))
    workflow.run(options(sets, recognizers=given[:1], out=sets / "alone", holdout=None))
    for out, names in ((sets / "out", ["net", "net2"]), (sets / "alone", ["net"])):
        result = json.loads((out / "audit.json").read_text())
        assert result["recognizers"] == list(result["recognizer_facts"]) == names
        config = result["made_by"].pop("config")
        assert config["recognizers"] == given[: len(names)]  # so that 'synthface clean' finds them again
        texts = [json.dumps(result), *((out / name).read_text() for name in ("audit.md", "report_public.html"))]
        assert not any("Neil" in text for text in texts)
    assert "a recogniser other than net sees" in capsys.readouterr().out


def test_two_recognisers_of_one_name_are_refused(sets):
    make_new(sets, 3)
    with pytest.raises(ConfigError, match="--recognizers a/net and b/net have one name, net"):
        workflow.run(options(sets, recognizers=["a/net", "b/net"]))


@pytest.mark.parametrize(
    "told",
    [
        {"kind": "inverted"},
        {"generator": {"trained_on_manifest_sha256": None, "identities": "drawn"}},
        {"remediation": {"audits": {}, "used_recognizers": ["one"], "log_sha256": "a" * 64}},
    ],
)
def test_what_a_set_says_of_itself_is_part_of_the_question(sets, quick, told):
    """An answer from before the set was said to be cleaned, for example, is none for the cleaned set."""
    make_new(sets, 3)
    workflow.run(options(sets))
    info = sets / "synthetic" / "faceset.json"
    info.write_text(json.dumps({**json.loads(info.read_text()), **told}))
    with pytest.raises(ConfigError, match="holds something else"):
        workflow.run(options(sets))


def test_it_says_what_cannot_be_concluded(sets):
    loose = make(sets, "loose", {f"photo {k}": f"x{k}" for k in range(3)}, photos=1)
    synthetic = make_new(sets, 3)
    said = not_concluded({"synthetic": loose, "train": loose, "holdout": loose}, ["one"], "nothing")
    assert [any(word in text for text in said) for word in ("placebo", "second one", "class as a whole", "labels")] == [
        True
    ] * 4
    assert sum("photos with identities" in text or "real photos with" in text for text in said) == 2
    assert len(not_concluded({"synthetic": synthetic}, ["one", "two"], "nothing")) == 3


def test_the_strict_profile_is_a_flag_and_mixes_with_nothing(sets):
    strict = options(sets, strict=True, gates=AuditConfig(seed=3)).gates
    assert (strict.profile, strict.seed, strict.planted_images) == ("strict", 3, 299)
    with pytest.raises(ConfigError, match="--strict sets all limits"):
        options(sets, strict=True, gates=AuditConfig(permutations=99))
