"""The check of 'clean': what it puts in is training photos under the records of the set, and its sums are right."""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from drawn_people import SIDE, make

from synthface.data import FaceSet, FaceSetWriter

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "check_clean.py"


@pytest.fixture(scope="module")
def check_clean():
    spec = importlib.util.spec_from_file_location("check_clean", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def spoiled(check_clean, tmp_path):
    made = {"generator": {"trained_on_manifest_sha256": "00" * 32}}
    recipe = {f"class-{k}": {"class_index": k, "seed": k, "psi": 1.0} for k in range(6)}
    classes = {name: f"new{k}" for k, name in enumerate(recipe)}
    synthetic = make(tmp_path, "synthetic", classes, photos=5, kind="synthetic", extra=made, fields=recipe)
    train = make(tmp_path, "train", {f"Real {k}": f"train{k}" for k in range(20)})
    arguments = argparse.Namespace(classes=5, per_class=4, share=0.4, out=tmp_path / "check")
    arguments.out.mkdir()
    return synthetic, train, *check_clean.spoil(synthetic, train, arguments)


def test_photos_of_as_many_people_take_the_place_of_images_and_their_records(spoiled):
    synthetic, train, faceset, replaced = spoiled
    assert (len(faceset), faceset.n_identities, len(replaced)) == (20, 5, 8)
    before = {record.path: record for record in synthetic.records}
    changed = {record.path for record in faceset.records if record.sha256 != before[record.path].sha256}
    assert changed == replaced
    assert all((r.seed, r.class_index, r.width) == (before[r.path].seed, before[r.path].class_index, SIDE)
               for r in faceset.records)  # fmt: skip
    assert faceset.info["generator"] == synthetic.info["generator"]
    photos = {train.read_image(row).tobytes(): record.identity for row, record in enumerate(train.records)}
    images = [faceset.read_image(row).tobytes() for row, r in enumerate(faceset.records) if r.path in replaced]
    verbatim = [photos[image] for image in images if image in photos]
    assert len(verbatim) == len(set(verbatim)) == 4  # the others are mirrored, cropped and recompressed


def test_what_was_taken_out_and_left_is_counted(check_clean, spoiled, tmp_path):
    _, _, faceset, replaced = spoiled
    found, other = sorted(replaced)[:6], next(r.path for r in faceset.records if r.path not in replaced)
    kept = [r for r in faceset.records if r.path not in (*found, other)]
    with FaceSetWriter(tmp_path / "cleaned", kind="synthetic", record={"command": "test"}) as writer:
        for record in kept:
            writer.add_file(record, faceset.root / record.path)
        for path in found[:2]:  # two of them made again
            writer.add(path, np.zeros((SIDE, SIDE, 3), np.uint8), identity="class-0")
        writer.finish()
    result = check_clean.counts(faceset, FaceSet.load(tmp_path / "cleaned"), replaced)
    assert (result["images"], result["replaced"]) == (20, 8)
    assert {key: result["taken_out"][key] for key in ("images", "replaced", "others")} == {
        "images": 7, "replaced": 6, "others": 1
    }  # fmt: skip
    assert result["taken_out"]["replaced_interval"][0] < 6 / 8 < result["taken_out"]["replaced_interval"][1]
    assert {key: result["left"][key] for key in ("images", "made_again", "replaced")} == {
        "images": 15, "made_again": 2, "replaced": 2
    }  # fmt: skip
