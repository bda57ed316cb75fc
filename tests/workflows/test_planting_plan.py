"""What is planted: how many of each kind, from whom, and nothing that is searched against at the same time."""

import collections
import dataclasses

import numpy as np
import pytest

from synthface.core.seeds import numpy_generator
from synthface.data import FaceSet, FaceSetWriter
from synthface.data.planting import recompressed
from synthface.privacy import AuditConfig, Embeddings
from synthface.workflows.auditing.planting import draw_plant, make_plants
from synthface.workflows.auditing.planting_plan import plan_plants

CONFIG = AuditConfig(planted_people=5, planted_images=7)


def write(path, counts, size=48, kind="real"):
    rng = np.random.default_rng(len(counts))
    with FaceSetWriter(path, kind=kind, record={"command": "test"}) as writer:
        for k, count in enumerate(counts):
            for j in range(count):
                image = rng.integers(0, 255, (size, size, 3), dtype=np.uint8)
                writer.add(f"images/{k:02d}/{j:03d}.png", image, identity=f"person {k:02d}")
        return writer.finish()


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    return write(tmp_path_factory.mktemp("train") / "set", [2, 30, 12, 9, 8, 6, 4, 3, 3, 2])


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return write(tmp_path_factory.mktemp("synthetic") / "set", [100, 20, 20], size=32, kind="synthetic")


def by_kind(plan):
    kinds = collections.defaultdict(list)
    for plant in plan.plants:
        kinds[plant.kind].append(plant)
    return kinds


def test_every_kind_is_planted_as_often_as_asked(train, synthetic):
    kinds = by_kind(plan_plants(train, synthetic, 3, CONFIG))
    for kind in ("verbatim", "recompressed", "downsampled", "morph-75", "morph-50", "morph-25"):
        assert len(kinds[kind]) == 7
    assert len(kinds["class-100"]) == len(kinds["other-photo"]) == 5


def test_classes_are_made_of_people_with_photos_enough_and_never_of_all_photos(train, synthetic):
    plan = plan_plants(train, synthetic, 3, dataclasses.replace(CONFIG, planted_people=6))
    classes = {plant.person: plant.paths for plant in by_kind(plan)["class-100"]}
    assert set(classes) == {f"person {k:02d}" for k in (1, 2, 3, 4, 5, 6)}
    assert [len(classes[f"person {k:02d}"]) for k in (1, 2, 3, 4, 5, 6)] == [10, 6, 4, 4, 3, 2]
    assert len(plan.withheld) == 29


def test_people_are_drawn_whatever_the_number_of_their_photos(train, synthetic):
    configs = [dataclasses.replace(CONFIG, seed=seed, planted_people=1) for seed in range(60)]
    plans = [plan_plants(train, synthetic, 3, config) for config in configs]
    drawn = collections.Counter(plant.person for plan in plans for plant in by_kind(plan)["class-100"])
    assert set(drawn) == {f"person {k:02d}" for k in (1, 2, 3, 4, 5, 6)}
    assert max(drawn.values()) < 25  # 10 expected of each


def test_copies_are_of_photos_that_are_searched(train, synthetic):
    plan = plan_plants(train, synthetic, 3, CONFIG)
    for item in plan.images:
        assert (train.records[item.photo].path in plan.withheld) == (item.kind == "other")
        assert (item.partner >= 0) == item.kind.startswith("morph-")


def test_leaking_classes_keep_their_size_and_their_share(train, synthetic):
    """Classes of 20 and of 100 images: 1 % is one image of a class of 100, or one in five classes of 20."""
    kinds = by_kind(plan_plants(train, synthetic, 3, CONFIG))
    share = {"class-20": 0.2, "class-5": 0.05, "class-1": 0.01}
    for kind, wanted in share.items():
        for plant in kinds[kind]:
            size = len(plant.paths) + len(plant.filler)
            assert size in (20, 100)
            assert len(plant.paths) / (size * plant.classes) == wanted
            assert len(set(synthetic.labels[list(plant.filler)])) == 1
    assert kinds["class-5"]
    assert {len(plant.filler) for plant in kinds["class-1"]} == {99}  # five classes of 20 are more than there are


def test_a_leak_of_less_than_an_image_is_one_in_several_classes(train, tmp_path):
    small = write(tmp_path / "small", [10] * 12, size=32, kind="synthetic")
    kinds = by_kind(plan_plants(train, small, 3, CONFIG))
    assert {(len(plant.paths), len(plant.filler), plant.classes) for plant in kinds["class-1"]} == {(1, 9, 10)}
    assert {(len(plant.paths), len(plant.filler), plant.classes) for plant in kinds["class-5"]} == {(1, 9, 2)}
    assert {plant.classes for plant in kinds["class-20"]} == {1}
    fewer = write(tmp_path / "fewer", [10] * 9, size=32, kind="synthetic")
    assert "class-1" not in by_kind(plan_plants(train, fewer, 3, CONFIG))


def test_what_the_generator_draws_is_planted_only_where_there_is_one(train, synthetic, monkeypatch, tmp_path):
    assert "reconstructed" not in by_kind(plan_plants(train, synthetic, 3, CONFIG))
    plan = plan_plants(train, synthetic, 3, CONFIG, reconstructed=True)
    photos = [train.read_image(item.photo) for item in plan.images if item.kind == "reconstructed"]
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path))
    seen = []

    def redraw(given):
        seen.extend(given)
        return (255 - photo for photo in seen)

    def embed(faceset: FaceSet):
        drawn = [faceset.read_image(k) for k, item in enumerate(plan.images) if item.kind == "reconstructed"]
        np.testing.assert_array_equal(drawn, [255 - photo for photo in photos])
        rows = np.eye(len(faceset), dtype=np.float32)
        return {"one": Embeddings(rows, ["x"] * len(faceset), [record.path for record in faceset.records])}

    plants = make_plants(plan, train, synthetic, 48, CONFIG, embed, redraw)
    assert sum(plant.kind == "reconstructed" for plant in plants.plants) == 7
    np.testing.assert_array_equal(seen, photos)


def test_plans_are_repeatable_and_fresh_in_each_round(train, synthetic):
    first = plan_plants(train, synthetic, 3, CONFIG)
    assert plan_plants(train, synthetic, 3, CONFIG) == first
    again = plan_plants(train, synthetic, 3, CONFIG, rounds=2)
    other = plan_plants(train, synthetic, 3, dataclasses.replace(CONFIG, seed=1))
    assert again.withheld != first.withheld != other.withheld


def test_rounds_plant_classes_of_other_people_while_there_are_enough(train, synthetic):
    config = dataclasses.replace(CONFIG, planted_people=3)  # of six who have photos enough
    plans = [plan_plants(train, synthetic, 3, config, rounds=rounds) for rounds in (1, 2, 3)]
    first, second, third = ({plant.person for plant in by_kind(plan)["class-100"]} for plan in plans)
    assert len(first) == len(second) == 3
    assert not first & second
    assert third == first  # none are left
    assert plans[2].withheld != plans[0].withheld  # but other photos of them


def test_planted_images_are_of_the_release_s_size_and_rows_lead_to_them(train, synthetic, monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path))
    plan = plan_plants(train, synthetic, len(synthetic), CONFIG)
    seen = {}

    def embed(faceset: FaceSet):
        assert tmp_path in faceset.root.parents
        seen["sizes"] = {(record.width, record.height) for record in faceset.records}
        seen["sources"] = [record.source for record in faceset.records]
        rows = np.eye(len(faceset), dtype=np.float32)
        return {"one": Embeddings(rows, ["x"] * len(faceset), [record.path for record in faceset.records])}

    plants = make_plants(plan, train, synthetic, 32, CONFIG, embed)
    assert seen["sizes"] == {(32, 32)}
    person_of = {record.path: record.identity for record in train.records}
    for plant in plants.plants:
        assert {person_of[seen["sources"][row]] for row in plant.rows} == {plant.person}
    assert list((tmp_path / "plants").iterdir()) == []


def test_each_kind_is_drawn_as_its_name_says(train, synthetic):
    plan = plan_plants(train, synthetic, len(synthetic), CONFIG)
    for item in plan.images:
        photo = train.read_image(item.photo)
        image = draw_plant(item, photo, synthetic, CONFIG)
        if item.kind in ("verbatim", "other"):
            np.testing.assert_array_equal(image, photo)
        elif item.kind == "recompressed":
            np.testing.assert_array_equal(image, recompressed(photo, numpy_generator(CONFIG.seed, "plant", item.path)))
        else:
            assert image.shape == photo.shape
            assert (image != photo).any()
