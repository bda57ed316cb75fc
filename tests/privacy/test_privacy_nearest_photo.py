"""The nearest photo among all of a person's, where a search kept some of them."""

import numpy as np
import pytest

from synthface.data.embeddings import Embeddings
from synthface.privacy import AuditConfig, audit
from synthface.privacy.gallery import build_gallery
from synthface.privacy.nearest_photo import nearest_photo
from synthface.privacy.plant_search import search_plants
from synthface.privacy.plants import Plant, Plants
from synthface.privacy.search import search
from synthface.privacy.signatures import SIDE, ImageSignatures


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def library(counts, seed=0):
    rng = np.random.default_rng(seed)
    people = unit(rng.standard_normal((len(counts), 32)))
    identities = np.repeat([f"p{k}" for k in range(len(counts))], counts)
    vectors = unit(np.repeat(people, counts, axis=0) + 0.1 * rng.standard_normal((len(identities), 32)))
    order = rng.permutation(len(identities))
    return Embeddings(vectors[order], identities[order], np.array([f"{row}.jpg" for row in range(len(order))]))


def test_copies_of_photos_that_the_search_left_out_are_found():
    photos = library([30, 2, 25, 5])
    rng = np.random.default_rng(1)
    copied = rng.permutation(len(photos))
    queries = unit(photos.vectors[copied] + 0.01 * rng.standard_normal((len(copied), 32)))
    gallery = build_gallery(photos, 4)
    found = gallery.rows[search(gallery, queries, 1).nearest_row]
    assert (found == copied).mean() < 0.5
    np.testing.assert_array_equal(nearest_photo(queries, found, photos, 4), copied)


def test_people_of_whom_all_photos_were_searched_stay_as_they_were():
    photos = library([3, 4])
    found = np.array([6, 0, 5, 5])
    queries = unit(np.random.default_rng(2).standard_normal((4, 32)))
    np.testing.assert_array_equal(nearest_photo(queries, found, photos, 4), found)


def test_many_queries_are_compared_in_blocks(monkeypatch):
    photos = library([9, 8])
    queries = unit(np.random.default_rng(3).standard_normal((50, 32)))
    found = np.random.default_rng(4).integers(0, len(photos), 50)
    whole = nearest_photo(queries, found, photos, 2)
    monkeypatch.setattr("synthface.privacy.nearest_photo._BLOCK", 7)
    np.testing.assert_array_equal(nearest_photo(queries, found, photos, 2), whole)
    same_person = photos.identities[whole] == photos.identities[found]
    assert same_person.all()


@pytest.fixture
def no_hashes(monkeypatch):
    """Leave the candidates to recognisers, as a crop does."""
    monkeypatch.setattr("synthface.privacy.copies._near_hashes", lambda *_: np.empty((0, 2), np.int64))


@pytest.mark.usefixtures("no_hashes")
def test_planted_and_released_copies_of_any_photo_are_candidates(make_pool):
    pool = make_pool(5, n_train=30, n_holdout=30)
    train, config = pool.train, AuditConfig(images_per_identity=1, permutations=99, bootstraps=10, min_holdout=20)
    kept = set(build_gallery(train["one"], 1).rows.tolist())
    row = next(row for row in range(len(train["one"])) if row not in kept)
    signatures = {role: noise(getattr(pool, role)["one"], seed) for seed, role in enumerate(("train", "holdout"))}
    release = pool.release(pool.world.people(20), prefix="new")
    pictures = noise(release["one"], 9).pictures.copy()
    pictures[7] = signatures["train"].pictures[row]
    leaky = {}
    for name, embeddings in release.items():
        vectors = embeddings.vectors.copy()
        vectors[7] = train[name].vectors[row]
        leaky[name] = Embeddings(vectors, embeddings.identities, embeddings.images)
    signatures["synthetic"] = ImageSignatures(release["one"].images, pictures)

    verdict = audit(synthetic=leaky, train=train, holdout=pool.holdout, signatures=signatures, config=config)
    assert [(copy.synthetic, copy.train) for copy in verdict.copies] == [
        (str(release["one"].images[7]), str(train["one"].images[row]))
    ]
    plants = Plants(
        {name: embeddings.take(np.arange(len(embeddings)) == 7) for name, embeddings in leaky.items()},
        signatures["synthetic"].take(np.arange(len(pictures)) == 7),
        (Plant("verbatim", str(train["one"].identities[row]), (0,)),),
        frozenset(),
    )
    (outcome,) = search_plants(plants, release, train, pool.holdout, signatures["train"], config)
    assert outcome.as_copies == 1


def noise(embeddings, seed):
    rng = np.random.default_rng(seed)
    return ImageSignatures(embeddings.images, rng.uniform(0, 255, (len(embeddings), SIDE, SIDE)))
