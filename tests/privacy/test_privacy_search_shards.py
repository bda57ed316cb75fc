"""Shards: any order, any grouping, any process; stopped and taken up again."""

import functools
import itertools

import numpy as np
import pytest
from test_privacy_search import assert_equal, embeddings

from synthface.core.errors import ConfigError
from synthface.privacy.gallery import build_gallery
from synthface.privacy.search import Blocks, ShardedSearch, search
from synthface.privacy.search.result import merge


@pytest.fixture
def work(tmp_path):
    gallery = build_gallery(embeddings(0, 12, np.arange(12) % 4 + 1), 100)
    queries = embeddings(1, 1, [50]).vectors
    return functools.partial(ShardedSearch, gallery, queries, 6, 3, blocks=Blocks(8, 8, 13), folder=tmp_path / "search")


def test_parts_merge_in_any_order_and_grouping(work):
    plan = work(folder=None)
    parts = [plan.run(shard) for shard in plan.shards]
    assert len(parts) == 4
    expected = search(plan.gallery, plan.queries, 6, 3)
    for order in itertools.permutations(parts):
        assert_equal(functools.reduce(merge, order).result, expected)
    a, b, c, d = parts
    assert_equal(merge(merge(a, c), merge(d, b)).result, expected)


def test_a_shard_that_is_done_is_not_done_again(work, monkeypatch):
    first = work()
    for shard in first.shards[1:3]:
        first.run(shard)
    computed = []
    compute = ShardedSearch._compute
    monkeypatch.setattr(ShardedSearch, "_compute", lambda self, shard: computed.append(shard) or compute(self, shard))
    again = work()
    assert_equal(again.result(), search(again.gallery, again.queries, 6, 3, blocks=Blocks(8, 8, 1000)))
    assert [shard for shard in computed if len(shard) <= 13] == [first.shards[0], first.shards[3]]


def test_files_do_not_depend_on_who_wrote_them(work, tmp_path):
    one, other = work(), work(folder=tmp_path / "other", blocks=Blocks(5, 100, 13))
    one.result()
    for shard in reversed(other.shards):
        other.run(shard)
    files = sorted(path.name for path in one.folder.iterdir())
    assert files == sorted(path.name for path in other.folder.iterdir())
    for name in files:
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes()


def test_a_damaged_shard_is_computed_again(work, caplog):
    plan = work()
    expected = plan.result()
    for path, damage in zip(sorted(plan.folder.iterdir()), (b"", b"not an archive", None), strict=False):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 255
        path.write_bytes(content if damage is None else damage)
    assert_equal(work().result(), expected)
    assert caplog.text.count("is damaged") == 3


@pytest.mark.parametrize("change", ["photo", "query", "people", "top", "nearest"])
def test_the_shards_of_another_search_are_refused(work, change):
    plan = work()
    plan.result()
    gallery, queries = plan.gallery, plan.queries.copy()
    if change == "photo":
        vectors = gallery.vectors.copy()
        vectors[[0, 1]] = vectors[[1, 0]]
        gallery = type(gallery)(vectors, gallery.rows, gallery.people, gallery.starts)
    if change == "people":
        starts = gallery.starts.copy()
        starts[1] += 1
        gallery = type(gallery)(gallery.vectors, gallery.rows, gallery.people, starts)
    if change == "query":
        queries[[0, 1]] = queries[[1, 0]]
    other = ShardedSearch(
        gallery, queries, 6 + (change == "top"), 3 + (change == "nearest"), plan.blocks, folder=plan.folder
    )
    with pytest.raises(ConfigError, match="other inputs"):
        other.result()


def test_shards_run_in_threads(work):
    from concurrent.futures import ThreadPoolExecutor

    plan = work()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(plan.run, plan.shards))
    assert len(list(plan.folder.iterdir())) == 4
    assert_equal(plan.result(), search(plan.gallery, plan.queries, 6, 3))
