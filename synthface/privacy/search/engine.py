"""The search: shards of queries, each scanned in float32 and settled in float64."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import ConfigError
from synthface.privacy.gallery import Gallery
from synthface.privacy.search.arrays import Arrays, NumpyArrays
from synthface.privacy.search.exact import exact_scores
from synthface.privacy.search.result import Part, SearchResult, largest, merge_all
from synthface.privacy.search.scan import Candidates, scan
from synthface.privacy.search.shard_folder import ShardFolder, inputs_hash

Search = Callable[[Gallery, NDArray[np.float32], int], SearchResult]  # as ``search`` below, with its defaults
MAX_NEAREST = 100
_SPARE = 16  # candidates beyond those wanted, at first


@dataclass(frozen=True)
class Blocks:
    """Sizes of the pieces of work; results do not depend on them.

    Args:
        people: people in a block of scores.
        queries: queries in a block of scores; 1920 x 1920 float32 scores are 15 MB, twice, and mostly stay in cache.
            Rows of 2048 would cost 7 % of the speed: at strides of a power of two, numbers crowd into few cache lines.
        shard: queries that are settled and checkpointed together.
    """

    people: int = 1920
    queries: int = 1920
    shard: int = 32640  # 17 blocks

    def __post_init__(self) -> None:
        if min(self.people, self.queries, self.shard) < 1:
            raise ConfigError(f"search blocks of {self.people}, {self.queries} and {self.shard}: each is at least 1")


@dataclass(frozen=True)
class ShardedSearch:
    """A search cut into shards that any process can run in any order, and stop and take up again.

    Args:
        gallery: photos by person.
        queries: [N, D] float32 unit vectors.
        top: scores to keep a person, or 0.
        nearest: people to keep a query, at most 100.
        blocks: sizes of the pieces of work.
        arrays: where scores are made; this machine's memory by default.
        folder: keeps finished shards; the processes of one search share it. Without it they are lost with the process.
    """

    gallery: Gallery
    queries: NDArray[np.float32]
    top: int
    nearest: int = 1
    blocks: Blocks = Blocks()
    arrays: Arrays = field(default_factory=NumpyArrays)
    folder: Path | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.nearest <= MAX_NEAREST or self.top < 0:
            raise ConfigError(f"nearest {self.nearest} and top {self.top}: give 1 to {MAX_NEAREST}, and 0 or more")

    @property
    def shards(self) -> tuple[range, ...]:
        """The queries of each shard."""
        n = len(self.queries)
        return tuple(range(begin, min(begin + self.blocks.shard, n)) for begin in range(0, n, self.blocks.shard))

    @cached_property
    def inputs_sha256(self) -> str:
        """Hash of all that the result depends on."""
        return inputs_hash(self.gallery, self.queries, self.top, self.nearest)

    def run(self, shard: range) -> Part:
        """Return the result for a shard: read from the folder if it is there, else computed and put there.

        Raises:
            ConfigError: the folder is of another search.
        """
        if self.folder is None:
            return self._compute(shard)
        folder = ShardFolder(self.folder, self.inputs_sha256)
        part = folder.read(shard)
        if part is None:
            part = self._compute(shard)
            folder.write(shard, part)
        return part

    def result(self) -> SearchResult:
        """Return the whole result; shards that nobody has run yet are run here."""
        return merge_all(self.run(shard) for shard in self.shards)

    def _compute(self, shard: range) -> Part:
        result = self._exact(self.gallery, self.queries[shard.start : shard.stop], self.top, self.nearest, _SPARE)
        missing = min(self.top, len(self.queries)) - result.person_top.shape[1]
        person_top = np.pad(result.person_top, ((0, 0), (0, missing)), constant_values=-np.inf)
        person_query = np.pad(result.person_query + shard.start, ((0, 0), (0, missing)), constant_values=-1)
        return Part(
            np.arange(shard.start, shard.stop),
            SearchResult(person_top, person_query, result.top_scores, result.top_rows),
        )

    def _exact(
        self, gallery: Gallery, queries: NDArray[np.float32], top: int, nearest: int, spare: int
    ) -> SearchResult:
        """Scan, and scan again with more room for the rows where too many scores differ by rounding alone."""
        top, nearest = min(top, len(queries)), min(nearest, len(gallery))
        near, best = scan(
            gallery,
            queries,
            top=top,
            nearest=nearest,
            spare=spare,
            block=(self.blocks.people, self.blocks.queries),
            arrays=self.arrays,
        )
        score, row = exact_scores(gallery, queries, near.index, near.rows)
        top_scores, top_rows = _settle(near, score, row, nearest)
        score, _ = exact_scores(gallery, queries, best.rows, best.index)
        person_top, person_query = _settle(best, score, best.index, top)
        if near.cut.any():
            cut = np.flatnonzero(near.cut)
            again = self._exact(gallery, queries[cut], 0, nearest, 4 * spare)
            top_scores[cut], top_rows[cut] = again.top_scores, again.top_rows
        if best.cut.any():
            cut = np.flatnonzero(best.cut)
            again = self._exact(gallery.take(cut), queries, top, 0, 4 * spare)
            person_top[cut], person_query[cut] = again.person_top, again.person_query
        return SearchResult(person_top, person_query, top_scores, top_rows)


def search(
    gallery: Gallery,
    queries: NDArray[np.float32],
    top: int,
    nearest: int = 1,
    *,
    blocks: Blocks | None = None,
    arrays: Arrays | None = None,
) -> SearchResult:
    """Compare every query with every photo; see ``ShardedSearch``."""
    return ShardedSearch(gallery, queries, top, nearest, blocks or Blocks(), arrays or NumpyArrays()).result()


def _settle(
    found: Candidates, score: NDArray[np.float64], index: NDArray[np.int64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the n largest of each row's candidates: [rows, n] scores and indices."""
    counts = np.bincount(found.rows, minlength=len(found.cut))
    width = max(n, int(counts.max(initial=0)))
    table = np.full((len(found.cut), width), -np.inf)
    indices = np.full(table.shape, -1, np.int64)
    column = np.arange(len(found.rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    table[found.rows, column], indices[found.rows, column] = score, index
    kept = largest(table, indices, n)
    return np.take_along_axis(table, kept, axis=1), np.take_along_axis(indices, kept, axis=1)
