"""The blocked search against brute force."""

import numpy as np
import pytest

from synthface.privacy import Embeddings
from synthface.privacy import search as search_module
from synthface.privacy.gallery import build_gallery
from synthface.privacy.search import search


def embeddings(seed, people, counts, dimensions=16):
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.repeat([f"p{k:03d}" for k in range(people)], counts))
    vectors = rng.standard_normal((len(names), dimensions))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Embeddings(vectors.astype(np.float32), names, np.arange(len(names)).astype(str))


@pytest.mark.parametrize(("gallery_block", "query_block"), [(7, 5), (64, 1000), (10_000, 10_000)])
def test_blocks_do_not_change_the_result(monkeypatch, gallery_block, query_block):
    monkeypatch.setattr(search_module, "GALLERY_BLOCK", gallery_block)
    monkeypatch.setattr(search_module, "QUERY_BLOCK", query_block)
    real = embeddings(0, 23, np.arange(23) % 5 + 1)
    queries = embeddings(1, 1, [41]).vectors
    gallery = build_gallery(real, 100)
    result = search(gallery, queries, top=5)

    scores = real.vectors.astype(np.float64) @ queries.astype(np.float64).T
    for index, person in enumerate(gallery.people):
        best_photo = scores[real.identities == person].max(axis=0)  # of this person, for each query
        np.testing.assert_allclose(np.sort(result.person_top[index]), np.sort(best_photo)[-5:], atol=1e-6)
    np.testing.assert_allclose(result.nearest_score, scores.max(axis=0), atol=1e-12)
    np.testing.assert_array_equal(gallery.rows[result.nearest_row], scores.argmax(axis=0))


def test_fewer_queries_than_scores_to_keep():
    gallery = build_gallery(embeddings(0, 4, [2, 2, 2, 2]), 100)
    result = search(gallery, embeddings(1, 1, [3]).vectors, top=5)
    assert result.person_top.shape == (4, 3)
    assert np.isfinite(result.person_top).all()


def test_a_gallery_is_sorted_by_person_and_capped():
    real = embeddings(0, 3, [30, 2, 7])
    gallery = build_gallery(real, 5)
    assert gallery.people.tolist() == ["p000", "p001", "p002"]
    assert gallery.counts.tolist() == [5, 2, 5]
    np.testing.assert_array_equal(real.identities[gallery.rows], gallery.people[gallery.owners])
    assert len(set(gallery.rows.tolist())) == 12
    mean = real.vectors[real.identities == "p001"].mean(axis=0)
    np.testing.assert_allclose(gallery.templates[1], mean / np.linalg.norm(mean), atol=1e-6)
