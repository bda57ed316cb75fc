"""The blocked search against brute force in float64."""

import tracemalloc

import numpy as np
import pytest

from synthface.core.errors import ConfigError
from synthface.privacy import Embeddings
from synthface.privacy.gallery import Gallery, build_gallery
from synthface.privacy.search import Blocks, SearchResult, search
from synthface.privacy.search.exact import exact_scores

SIZES = [Blocks(7, 5, 3), Blocks(64, 1000, 20), Blocks(16, 16, 1000), Blocks()]


def embeddings(seed, people, counts, dimensions=16):
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.repeat([f"p{k:03d}" for k in range(people)], counts))
    vectors = rng.standard_normal((len(names), dimensions))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Embeddings(vectors.astype(np.float32), names, np.arange(len(names)).astype(str))


def one_photo_each(vectors: np.ndarray) -> Gallery:
    rows = np.arange(len(vectors))
    return Gallery(vectors, rows, rows.astype(str), rows)


def brute_force(gallery: Gallery, queries: np.ndarray, top: int, nearest: int) -> SearchResult:
    """Every score by a loop; sorted by Python, by falling score and then by rising index."""
    people, n = range(len(gallery)), range(len(queries))
    best = {}
    for p in people:
        rows = range(gallery.starts[p], gallery.starts[p] + gallery.counts[p])
        for q in n:
            best[p, q] = min((-float(exact_dot(gallery.vectors[r], queries[q])), r) for r in rows)
    by_person = [sorted((best[p, q][0], q) for q in n)[:top] for p in people]
    by_query = [sorted(best[p, q] + (p,) for p in people)[:nearest] for q in n]
    return SearchResult(
        np.array([[-score for score, _ in row] for row in by_person]),
        np.array([[q for _, q in row] for row in by_person]),
        np.array([[-score for score, *_ in row] for row in by_query]),
        np.array([[r for _, r, _ in row] for row in by_query]),
    )


def exact_dot(a: np.ndarray, b: np.ndarray) -> float:
    return (a.astype(np.float64) * b.astype(np.float64)).sum()


def assert_equal(result: SearchResult, expected: SearchResult) -> None:
    for name in ("person_top", "person_query", "top_scores", "top_rows"):
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name), err_msg=name)


@pytest.mark.parametrize("blocks", SIZES)
@pytest.mark.parametrize(("top", "nearest"), [(5, 1), (1, 7), (0, 23), (41, 100)])
def test_equals_brute_force_whatever_the_blocks(blocks, top, nearest):
    gallery = build_gallery(embeddings(0, 23, np.arange(23) % 5 + 1), 100)
    queries = embeddings(1, 1, [41]).vectors
    assert_equal(search(gallery, queries, top, nearest, blocks=blocks), brute_force(gallery, queries, top, nearest))


@pytest.mark.parametrize("blocks", SIZES)
def test_one_person_with_most_of_the_photos(blocks):
    gallery = build_gallery(embeddings(2, 9, [1, 2, 100, 1, 1, 3, 1, 1, 40]), 1000)
    queries = embeddings(3, 1, [37]).vectors
    assert_equal(search(gallery, queries, 3, 2, blocks=blocks), brute_force(gallery, queries, 3, 2))


@pytest.mark.parametrize("blocks", SIZES)
def test_equal_scores_go_by_index_however_many_there_are(blocks):
    """More ties than a search holds candidates at first, on both sides."""
    rng = np.random.default_rng(4)
    distinct = embeddings(4, 1, [6]).vectors
    gallery = one_photo_each(distinct[rng.integers(6, size=90)])
    queries = distinct[rng.integers(6, size=70)]
    result = search(gallery, queries, 4, 3, blocks=blocks)
    assert_equal(result, brute_force(gallery, queries, 4, 3))
    lowest = [np.flatnonzero((gallery.vectors == query).all(axis=1))[0] for query in queries]
    np.testing.assert_array_equal(result.nearest_row, lowest)


def test_scores_that_differ_by_less_than_float32_can_tell():
    """Forty photos whose true order is known, all within the rounding of one float32 product."""
    rng = np.random.default_rng(5)
    dimensions = 512
    query = rng.standard_normal(dimensions).astype(np.float32)
    query /= np.linalg.norm(query)
    photos = np.repeat(query[None], 40, axis=0)
    steps = rng.permutation(40)
    for row, step in enumerate(steps):  # one unit in the last place each, of ever more numbers
        photos[row, :step] = np.nextafter(photos[row, :step], np.float32(0))
    gallery = one_photo_each(photos)
    assert len(np.unique(photos @ query)) < 40  # what float32 sees
    result = search(gallery, query[None], 1, 40)
    np.testing.assert_array_equal(steps[result.top_rows[0]], np.arange(40))


def test_opposite_vectors_and_zero_scores_are_ordered():
    axes = np.eye(16, dtype=np.float32)
    gallery = one_photo_each(np.concatenate([-axes[:3], axes[:2]]))
    result = search(gallery, axes[:1], 1, 5)
    assert result.top_rows.tolist() == [[3, 1, 2, 4, 0]]
    assert result.top_scores.tolist() == [[1, 0, 0, 0, -1]]


def test_fewer_queries_than_scores_to_keep():
    gallery = build_gallery(embeddings(0, 4, [2, 2, 2, 2]), 100)
    result = search(gallery, embeddings(1, 1, [3]).vectors, top=5, blocks=Blocks(shard=2))
    assert result.person_top.shape == result.person_query.shape == (4, 3)
    assert np.isfinite(result.person_top).all()
    assert set(result.person_query.ravel().tolist()) == {0, 1, 2}


def test_nearest_is_the_first_of_the_top():
    gallery = build_gallery(embeddings(6, 30, np.full(30, 3)), 100)
    result = search(gallery, embeddings(7, 1, [50]).vectors, top=2, nearest=4)
    np.testing.assert_array_equal(result.nearest_score, result.top_scores.max(axis=1))
    np.testing.assert_array_equal(result.nearest_row, result.top_rows[:, 0])
    owners = gallery.owners[result.top_rows]
    assert all(len(set(row)) == 4 for row in owners.tolist())  # one photo a person


def test_a_pair_has_one_score_wherever_it_stands():
    gallery = build_gallery(embeddings(8, 40, np.arange(40) % 7 + 1, dimensions=131), 100)
    queries = embeddings(9, 1, [60], dimensions=131).vectors
    rng = np.random.default_rng(0)
    people, query = rng.integers(40, size=3000), rng.integers(60, size=3000)
    scores, rows = exact_scores(gallery, queries, people, query)
    for pair in range(0, 3000, 97):
        alone = exact_scores(gallery, queries, people[pair : pair + 1], query[pair : pair + 1])
        assert (scores[pair], rows[pair]) == (alone[0][0], alone[1][0])


def test_memory_does_not_grow_with_the_score_matrix():
    def peak(n: int) -> int:
        gallery, queries = one_photo_each(embeddings(0, 1, [n], 8).vectors), embeddings(1, 1, [n], 8).vectors
        tracemalloc.start()
        search(gallery, queries, 1, 1, blocks=Blocks(128, 256, 600))
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    small, large = peak(800), peak(2400)
    assert large < 4 * small  # nine times as many scores
    assert large < 2400 * 2400 * 4 / 4


@pytest.mark.parametrize("blocks", [(0, 5, 5), (5, 0, 5), (5, 5, 0)])
def test_empty_blocks_are_refused(blocks):
    with pytest.raises(ConfigError, match="at least 1"):
        Blocks(*blocks)


@pytest.mark.parametrize(("top", "nearest"), [(-1, 1), (5, 0), (5, 101)])
def test_senseless_numbers_to_keep_are_refused(top, nearest):
    gallery = one_photo_each(np.eye(4, dtype=np.float32))
    with pytest.raises(ConfigError, match="give 1 to 100"):
        search(gallery, np.eye(4, dtype=np.float32), top, nearest)


def test_a_gallery_is_sorted_by_person_and_capped():
    real = embeddings(0, 3, [30, 2, 7])
    gallery = build_gallery(real, 5)
    assert gallery.people.tolist() == ["p000", "p001", "p002"]
    assert gallery.counts.tolist() == [5, 2, 5]
    np.testing.assert_array_equal(real.identities[gallery.rows], gallery.people[gallery.owners])
    assert len(set(gallery.rows.tolist())) == 12
    mean = real.vectors[real.identities == "p001"].mean(axis=0)
    np.testing.assert_allclose(gallery.templates[1], mean / np.linalg.norm(mean), atol=1e-6)


def test_some_people_of_a_gallery():
    gallery = build_gallery(embeddings(0, 5, [3, 1, 4, 2, 2]), 100)
    some = gallery.take(np.array([2, 0]))
    assert some.people.tolist() == ["p002", "p000"]
    assert some.counts.tolist() == [4, 3]
    np.testing.assert_array_equal(some.templates, gallery.templates[[2, 0]])
    np.testing.assert_array_equal(some.rows, np.concatenate([gallery.rows[4:8], gallery.rows[:3]]))
