import json
from collections import Counter

import numpy as np
import pytest

from synthface.cli import main
from synthface.data import FaceSet, FaceSetWriter

ROLES = ("train", "holdout", "placebo")


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> FaceSet:
    out = tmp_path_factory.mktemp("split") / "faces"
    with FaceSetWriter(out, kind="real", record={"command": "test", "versions": {}}) as writer:
        for person in range(30):
            for k in range(1 + person % 3):
                image = np.full((16, 16, 3), person * 8 + k, np.uint8)
                writer.add(f"images/p{person}/{k}.png", image, identity=f"p{person}", source=f"p{person}/{k}.jpg")
        return writer.finish()


def split(faces, out, *options) -> int:
    return main(["split", str(faces.root), "--out", str(out), *options])


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_parts_are_disjoint_by_person_and_together_the_whole(faces, tmp_path, capsys):
    before = contents(faces.root)
    assert split(faces, tmp_path / "parts") == 0
    parts = {role: FaceSet.load(tmp_path / "parts" / role, kinds=["real"]) for role in ROLES}
    people = {role: set(part.identities) for role, part in parts.items()}
    assert [len(people[role]) for role in ROLES] == [13, 7, 10]  # 20 with two images or more, a third held out
    assert set.union(*people.values()) == set(faces.identities)
    records = sorted((record for part in parts.values() for record in part.records), key=lambda record: record.path)
    assert tuple(records) == faces.records
    counts = Counter(record.identity for record in faces.records)
    assert all(counts[person] == 1 for person in people["placebo"])
    assert all(counts[person] >= 2 for person in people["train"] | people["holdout"])
    for role, part in parts.items():
        assert part.info["role"] == role
        assert part.info["made_by"]["seed"] == 0
        assert part.info["made_by"]["inputs"] == {"faceset manifest": faces.manifest_sha256}
        for index, record in enumerate(part.records):
            assert (part.root / record.path).samefile(faces.root / record.path)
            part.read_image(index)
    assert contents(faces.root) == before
    assert "train         13 people" in capsys.readouterr().out


def people_with(tmp_path, *n_images) -> FaceSet:
    with FaceSetWriter(tmp_path / "faces", kind="real", record={"command": "test", "versions": {}}) as writer:
        for person, n in enumerate(n_images):
            for k in range(n):
                image, path = np.full((16, 16, 3), person, np.uint8), f"p{person}/{k}"
                writer.add(f"images/{path}.png", image, identity=f"p{person}", source=f"{path}.jpg")
        return writer.finish()


@pytest.mark.parametrize(
    ("n_people", "advice"),
    [
        (48, None),
        (47, "give it --identities sampled --sample.n_parents 31"),
        (12, "give it --identities sampled --sample.n_parents 8"),
        (9, "give it --identities mixed\n"),
        (4, "give it --identities mixed --mixture.n_parents 3"),
        (3, "too few to make new people from; add people"),
    ],
)
def test_too_few_people_to_sample_from_are_warned_of(tmp_path, capsys, n_people, advice):
    faces = people_with(tmp_path, *[2] * n_people)
    assert split(faces, tmp_path / "parts") == 0
    told = capsys.readouterr().err
    assert ("'generate --identities sampled' needs 32 people" in told) == (advice is not None)
    assert (advice or "") in told


def test_an_empty_placebo_is_warned_of(tmp_path, capsys):
    faces = people_with(tmp_path, 2, 2, 3, 4, 5)
    assert split(faces, tmp_path / "parts") == 0
    advice = "split with --min-images 3 to another --out, which makes 2 people with 2 the placebo"
    assert advice in capsys.readouterr().err
    assert split(faces, tmp_path / "other", "--min-images", "3") == 0
    assert "the placebo is empty" not in capsys.readouterr().err
    assert FaceSet.load(tmp_path / "other" / "placebo").n_identities == 2


def test_an_empty_placebo_of_people_alike_wants_others(tmp_path, capsys):
    assert split(people_with(tmp_path, 2, 2, 2), tmp_path / "parts") == 0
    told = capsys.readouterr().err
    assert "so the placebo is empty; without one no audit passes: add people with fewer images\n" in told


def test_as_many_people_as_photos_are_suspected_to_come_from_one_folder(tmp_path, capsys):
    assert split(people_with(tmp_path, 1, 1, 1), tmp_path / "parts") == 3
    assert "each of the 3 images shows another person" in (told := capsys.readouterr().err)
    assert "give 'prepare' --flat-identity prefix" in told


def test_the_set_itself_is_no_place_for_its_parts(faces, capsys):
    assert split(faces, faces.root) == 3
    told = capsys.readouterr().err
    assert "is the FaceSet that is to be split; give another path" in told
    assert "remove" not in told


def test_splitting_again_changes_nothing_and_another_split_is_refused(faces, tmp_path, capsys):
    assert split(faces, tmp_path / "parts") == 0
    before = contents(tmp_path / "parts")
    assert split(faces, tmp_path / "parts") == 0
    assert contents(tmp_path / "parts") == before
    assert split(faces, tmp_path / "parts", "--seed", "1") == 3
    assert "made otherwise" in capsys.readouterr().err
    assert split(faces, tmp_path / "other", "--seed", "1") == 0
    other = {role: set(FaceSet.load(tmp_path / "other" / role).identities) for role in ROLES}
    assert other["holdout"] != set(FaceSet.load(tmp_path / "parts" / "holdout").identities)
    assert other["placebo"] == set(FaceSet.load(tmp_path / "parts" / "placebo").identities)


def test_a_split_that_was_stopped_goes_on_and_ends_the_same(faces, tmp_path, monkeypatch):
    assert split(faces, tmp_path / "whole") == 0
    add_file, calls = FaceSetWriter.add_file, []

    def fail_later(self, record, file):
        calls.append(record)
        if len(calls) > 35:
            raise KeyboardInterrupt
        add_file(self, record, file)

    monkeypatch.setattr(FaceSetWriter, "add_file", fail_later)
    assert split(faces, tmp_path / "parts") == 130
    assert not (tmp_path / "parts").exists()
    monkeypatch.undo()
    assert split(faces, tmp_path / "parts") == 0
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--holdout", "0"], "--holdout 0 is not between 0 and 1"),
        (["--holdout", "1"], "--holdout 1 is not between 0 and 1"),
        (["--holdout", "nan"], "nan"),
        (["--min-images", "0"], "--min-images 0 is below 1"),
        (["--min-images", "4"], "0 of 30 identities have 4 or more images"),
        (["--seed", "-1"], "--seed -1 is negative"),
    ],
)
def test_what_cannot_be_split_is_said(faces, tmp_path, capsys, options, message):
    assert split(faces, tmp_path / "parts", *options) == 3
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_no_facesets_or_are_taken(faces, tmp_path, capsys):
    assert main(["split", str(tmp_path), "--out", str(tmp_path / "parts")]) == 3
    assert "not a FaceSet" in capsys.readouterr().err
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "photo.txt").write_text("mine")
    assert split(faces, tmp_path / "taken") == 3
    assert "already exists" in capsys.readouterr().err
    assert (tmp_path / "taken" / "photo.txt").read_text() == "mine"


def test_without_single_photos_the_placebo_is_empty_and_whole(faces, tmp_path):
    assert split(faces, tmp_path / "parts", "--min-images", "1", "--holdout", "0.5") == 0
    placebo = FaceSet.load(tmp_path / "parts" / "placebo")
    assert (len(placebo), placebo.identities) == (0, ())
    assert json.loads((placebo.root / "faceset.json").read_text())["n_images"] == 0
    assert len(FaceSet.load(tmp_path / "parts" / "train").identities) == 15
