"""Inputs that contradict each other are refused by name, and nothing is concluded."""

import dataclasses

import numpy as np
import pytest

from synthface.core.errors import AuditError
from synthface.privacy import AuditConfig, Embeddings, audit
from synthface.privacy.remediation import Remediation
from synthface.privacy.signatures import ImageSignatures

SMALL = AuditConfig(permutations=99, bootstraps=50, min_holdout=20)


@pytest.fixture(scope="module")
def pool(make_pool):
    return make_pool(5, n_train=60, n_holdout=40, n_placebo=30)


@pytest.fixture(scope="module")
def release(pool):
    return pool.release(pool.world.people(20), per_class=3, prefix="new")


def run(pool, release, **changes):
    roles = {"synthetic": release, "train": pool.train, "holdout": pool.holdout, "placebo": pool.placebo}
    return audit(**(roles | changes), config=SMALL)


def changed(sets, **changes):
    return {name: dataclasses.replace(item, **changes) for name, item in sets.items()}


def recorded(sets, **info):
    return changed(sets, info=info)


def test_other_weights_under_the_same_name(pool, release):
    weights = {"one": "a" * 64, "two": "c" * 64}
    made = {
        name: dataclasses.replace(item, info={"recognizer_sha256": weights[name]}) for name, item in release.items()
    }
    with pytest.raises(AuditError, match="train was embedded by other weights under one"):
        run(pool, made, train=recorded(pool.train, recognizer_sha256="b" * 64))
    run(pool, release, train=recorded(pool.train, recognizer_sha256="a" * 64))


def test_one_recogniser_under_two_names(pool, release):
    with pytest.raises(AuditError, match="one and two are one recogniser"):
        run(pool, recorded(release, recognizer_sha256="a" * 64))


def test_an_image_of_one_faceset_in_two_roles(pool, release):
    same = {"faceset_manifest_sha256": "c" * 64}
    placebo = recorded(pool.placebo, **same)
    posing = {name: item.take(np.arange(20)) for name, item in placebo.items()}
    with pytest.raises(AuditError, match="20 images of placebo are also in synthetic"):
        run(pool, posing, placebo=placebo)
    run(pool, posing, placebo={name: item.take(np.arange(20, len(item))) for name, item in placebo.items()})


def test_different_manifests_under_different_recognisers(pool, release):
    train = dict(pool.train)
    train["one"] = dataclasses.replace(train["one"], info={"faceset_manifest_sha256": "d" * 64})
    train["two"] = dataclasses.replace(train["two"], info={"faceset_manifest_sha256": "e" * 64})
    with pytest.raises(AuditError, match="train has embeddings of 2 different manifests"):
        run(pool, release, train=train)


def test_a_photo_in_two_sets_under_another_name(pool, release):
    vectors = {name: item.vectors.copy() for name, item in pool.holdout.items()}
    for name in vectors:
        vectors[name][7] = pool.train[name].vectors[3]
    holdout = {name: dataclasses.replace(item, vectors=vectors[name]) for name, item in pool.holdout.items()}
    with pytest.raises(AuditError, match="1 photos of train have the very embedding of one in holdout"):
        run(pool, release, holdout=holdout)


def test_labels_swapped_under_one_recogniser(pool, release):
    swapped = dict(pool.train)
    swapped["two"] = dataclasses.replace(swapped["two"], identities=np.roll(swapped["two"].identities, 1))
    with pytest.raises(AuditError, match="labels were swapped"):
        run(pool, release, train=swapped)


def test_labels_that_do_not_match_the_people(pool, release):
    order = np.random.default_rng(0).permutation(len(pool.train["one"]))
    swapped = {name: dataclasses.replace(item, identities=item.identities[order]) for name, item in pool.train.items()}
    with pytest.raises(AuditError, match="identities of train do not match its people"):
        run(pool, release, train=swapped)


def test_other_photos_of_somebody_else(pool, release):
    names = np.unique(pool.train["one"].identities).tolist()
    other = pool.world.photos(pool.train_faces, 2, names)
    other = {k: Embeddings(e.vectors, e.identities, np.char.add("other/", e.images)) for k, e in other.items()}
    run(pool, release, train_other=other)
    shifted = pool.world.photos(pool.train_faces, 2, np.roll(names, 1).tolist())
    with pytest.raises(AuditError, match="identities of train_other do not match its people"):
        run(pool, release, train_other=shifted)
    strangers = pool.world.photos(pool.train_faces, 2, [f"x{name}" for name in names])
    with pytest.raises(AuditError, match="60 identities of train_other are not in train"):
        run(pool, release, train_other=strangers)
    with pytest.raises(AuditError, match="train_other is given without train"):
        run(pool, release, train=None, train_other=other)
    with pytest.raises(AuditError, match="photos of train have the very embedding of one in train_other"):
        run(pool, release, train_other=pool.train)


def test_label_map_of_other_people_or_classes(pool, release):
    with pytest.raises(AuditError, match="labels name 1 people who are not in train \\(first: nobody\\)"):
        run(pool, release, labels={"new00000": "nobody"})
    with pytest.raises(AuditError, match="labels name 1 classes that are not in synthetic \\(first: old\\)"):
        run(pool, release, labels={"old": "train00000"})


def signatures(sets, seed, sha256=None):
    images = sets["one"].images
    pixels = np.random.default_rng(seed).integers(0, 256, (len(images), 32, 32, 3), dtype=np.uint8)
    return ImageSignatures.of_images(pixels, images, sha256)


def test_signatures_of_other_images_or_of_shared_files(pool, release):
    with pytest.raises(AuditError, match="signatures of synthetic are of other images"):
        run(pool, release, signatures={"synthetic": signatures(pool.placebo, 0)})
    with pytest.raises(AuditError, match="no embeddings"):
        run(pool, release, placebo=None, signatures={"placebo": signatures(pool.placebo, 0)})
    hashes = {
        role: [f"{role}{index}" for index in range(len(getattr(pool, role)["one"]))] for role in ("train", "holdout")
    }
    hashes["holdout"][4] = hashes["train"][9]
    given = {role: signatures(getattr(pool, role), 1, hashes[role]) for role in hashes}
    with pytest.raises(AuditError, match="1 image files are in both train and holdout"):
        run(pool, release, signatures=given)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rounds": 0, "used_recognizers": ("one",), "log_sha256": "0" * 64}, "0 rounds"),
        ({"rounds": 1, "used_recognizers": (), "log_sha256": "0" * 64}, "names no recogniser"),
        ({"rounds": 1, "used_recognizers": ("one",), "log_sha256": "log"}, "no SHA-256"),
    ],
)
def test_a_remediation_must_say_what_was_done(values, words):
    with pytest.raises(AuditError, match=words):
        Remediation(**values)
