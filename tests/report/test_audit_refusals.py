"""Tampered or inconsistent input at the command line: refused by name, with exit code 3, and nothing written."""

import json

import numpy as np
import pytest
from drawn_people import SIDE, drawn, fake_embed, make, make_new

from synthface.cli import main
from synthface.core.hashing import sha256_file
from synthface.data import Embeddings, FaceSet, FaceSetWriter
from synthface.workflows.auditing.inputs import warn_of_real_set


@pytest.fixture
def refused(sets, quick, capsys):
    """Run the audit of a harmless set with further flags; return the one line that it answers."""
    make_new(sets, 4)

    def run(*flags: str) -> str:
        roles = [
            word for role in ("synthetic", "train", "holdout", "placebo") for word in (f"--{role}", str(sets / role))
        ]
        arguments = [*roles, "--recognizers", "one", "three", "--out", str(sets / "out"), *flags]
        assert main(["audit", *arguments]) == 3
        assert not (sets / "out").exists()
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("synthface: error: ")
        return line

    return run


def embeddings_file(sets, role="train", recognizer="one", **changes):
    """Write what 'synthface embed' writes for a role, with some of it changed."""
    made = fake_embed(FaceSet.load(sets / role), recognizer, via_size=None if role == "synthetic" else SIDE)
    values = {
        "vectors": made.vectors,
        "identities": made.identities,
        "images": made.images,
        "info": made.info,
    } | changes
    path = sets / "given.npz"
    info = np.array(json.dumps(values.pop("info")))
    np.savez(path, info=info, **values)
    return str(path)


def test_an_image_that_is_not_the_one_in_the_manifest(refused, sets):
    faceset = FaceSet.load(sets / "holdout")
    path = faceset.root / faceset.records[7].path
    path.write_bytes((faceset.root / faceset.records[8].path).read_bytes())
    line = refused()
    assert f"--holdout {path} does not match its hash" in line


def test_a_missing_image(refused, sets):
    path = next((sets / "placebo").rglob("*.png"))
    path.unlink()
    assert f"--placebo {path} is missing" in refused()


def test_a_manifest_with_swapped_labels(refused, sets):
    manifest = sets / "train" / "manifest.jsonl"
    text = manifest.read_text()
    manifest.write_text(text.replace("Real train 00", "swap").replace("Real train 01", "Real train 00"))
    assert "manifest.jsonl was changed after the set was made" in refused()


def test_labels_swapped_behind_a_new_hash_and_found_in_the_photos(refused, sets):
    manifest, info = (sets / "train" / name for name in ("manifest.jsonl", "faceset.json"))
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    people = [line["identity"] for line in lines]
    for line, person in zip(lines, people[1:] + people[:1], strict=True):  # one photo of each is now somebody else's
        line["identity"] = person
    # every second photo goes to the next person as well, so that hardly any two photos of one name agree
    for line in lines[::2]:
        line["identity"] = f"Real train {(int(line['identity'][-2:]) + 7) % 40:02d}"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    info.write_text(json.dumps({**json.loads(info.read_text()), "manifest_sha256": sha256_file(manifest)}))
    assert "train" in refused()


def test_one_photo_in_two_sets(refused, sets):
    train = FaceSet.load(sets / "train")
    with FaceSetWriter(sets / "copy", kind="real", record={"command": "test"}) as writer:
        writer.add("a.png", train.read_image(0), identity="Somebody else")
        writer.finish()
    assert "--holdout a.png is also in --train" in refused("--holdout", str(sets / "copy"))


def test_one_person_in_two_sets(refused, sets):
    make(sets, "again", {"Real train 03": "other photos"})
    line = refused("--placebo", str(sets / "again"))
    assert "1 identities are in both train and placebo (first: Real train 03)" in line


@pytest.fixture
def no_work(monkeypatch):
    """Make what takes hours fail."""
    from synthface.workflows import audit

    def work(*_, **__):
        raise AssertionError("refused too late")

    for name in ("signatures_of", "acquire", "plant_leaks"):
        monkeypatch.setattr(audit, name, work)


def test_what_contradicts_itself_is_refused_before_the_work(refused, sets, no_work):
    make(sets, "again", {"Real train 03": "other photos"})
    assert "1 identities are in both train and placebo" in refused("--placebo", str(sets / "again"))


def test_a_placebo_of_one_photo(refused, sets, no_work, monkeypatch):
    make(sets, "one", {"Somebody": "somebody"}, photos=1)
    monkeypatch.setattr("synthface.workflows.audit.embed_sets", None)
    assert f"--placebo {sets / 'one'} holds 1 photos; give two or more" in refused("--placebo", str(sets / "one"))


def test_a_real_set_in_the_place_of_the_synthetic_one_is_named(sets, caplog):
    warn_of_real_set(FaceSet.load(sets / "train"))
    assert f"--synthetic {sets / 'train'} is a FaceSet of real photos" in caplog.text
    caplog.clear()
    make_new(sets, 4)
    warn_of_real_set(FaceSet.load(sets / "synthetic"))
    assert not caplog.text


def test_embeddings_of_another_recogniser(refused, sets):
    line = refused("--embeddings", embeddings_file(sets, recognizer="seven"))
    assert "made by another recogniser (seven" in line


def test_embeddings_of_another_set(refused, sets):
    make(sets, "elsewhere", {"a": "a", "b": "b"})
    assert "of none of the sets of this audit" in refused("--embeddings", embeddings_file(sets, "elsewhere"))


def test_embeddings_at_another_resolution(refused, sets):
    info = fake_embed(FaceSet.load(sets / "train"), "one", via_size=64).info
    assert f"--train needs via-size {SIDE}" in refused("--embeddings", embeddings_file(sets, info=info))


def test_embeddings_with_nan_rows(refused, sets):
    vectors = fake_embed(FaceSet.load(sets / "train"), "one").vectors.copy()
    vectors[5] = np.nan
    line = refused("--embeddings", embeddings_file(sets, vectors=vectors))
    assert "given.npz" in line
    assert "1 embeddings hold NaN or infinity (first: row 5)" in line


def test_embeddings_with_swapped_labels(refused, sets):
    names = fake_embed(FaceSet.load(sets / "train"), "one").identities.copy()
    names[[0, 9]] = names[[9, 0]]
    line = refused("--embeddings", embeddings_file(sets, identities=names))
    assert "names other identities than the manifest" in line
    assert "for 2 images" in line


def test_embeddings_in_another_order(refused, sets):
    made = fake_embed(FaceSet.load(sets / "train"), "one")
    order = np.arange(len(made))[::-1]
    line = refused("--embeddings", embeddings_file(sets, vectors=made.vectors[order], images=made.images[order]))
    assert "is not of the images of" in line


def test_embeddings_given_are_used(sets, quick, monkeypatch, capsys):
    from synthface.workflows import audit

    make_new(sets, 4)
    files = []
    for role in ("synthetic", "train", "holdout", "placebo"):
        for name in ("one", "three"):
            files.append(sets / f"{role}-{name}.npz")
            fake_embed(FaceSet.load(sets / role), name, via_size=None if role == "synthetic" else SIDE).save(files[-1])

    def only_plants(faceset, *arguments, **keywords):
        assert "plants" in faceset.root.as_posix()
        return fake_embed(faceset, *arguments, **keywords)

    monkeypatch.setattr(audit, "embed_faceset", only_plants)
    roles = [word for role in ("synthetic", "train", "holdout", "placebo") for word in (f"--{role}", str(sets / role))]
    flags = ["--recognizers", "one", "three", "--out", str(sets / "out"), "--gates.permutations", "99"]
    assert main(["audit", *roles, *flags, "--embeddings", *map(str, files)]) in (0, 1, 2)
    assert isinstance(Embeddings.load(files[0]), Embeddings)
    assert drawn("a", "b").shape == (SIDE, SIDE, 3)
