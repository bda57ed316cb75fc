"""Best scores of people and images: every pair once, whatever the blocks."""

import numpy as np
import pytest

from synthface.data.embeddings import Embeddings
from synthface.privacy import person_maxima as module
from synthface.privacy.gallery import build_gallery


@pytest.mark.parametrize(("people", "images"), [(1024, 4096), (7, 11), (1, 1)])
def test_blocks_give_what_one_loop_gives(people, images, monkeypatch):
    monkeypatch.setattr(module, "_PEOPLE", people)
    monkeypatch.setattr(module, "_IMAGES", images)
    rng = np.random.default_rng(0)
    owners = np.sort(rng.integers(0, 20, 90))
    vectors = rng.standard_normal((90, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = np.array([f"p{k:02d}" for k in owners])
    gallery = build_gallery(Embeddings(vectors, names, np.arange(90).astype(str)), 20)
    queries = rng.standard_normal((25, 16)).astype(np.float32)
    found = np.full((len(gallery), 25), np.nan, np.float32)
    for rows, columns, maxima in module.person_maxima(gallery, queries):
        assert np.isnan(found[rows, columns]).all()
        found[rows, columns] = maxima
    expected = np.stack([(vectors[names == name] @ queries.T).max(axis=0) for name in gallery.people])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
