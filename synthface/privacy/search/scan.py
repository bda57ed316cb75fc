"""One pass over all pairs of people and queries, in float32: which pairs may be among the largest?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.gallery import Gallery
from synthface.privacy.search.arrays import Arrays
from synthface.privacy.search.people_blocks import PeopleBlock, people_blocks
from synthface.privacy.search.running_top import LOWEST, RunningTop

GROUP = 16  # scores of which only the largest is compared with the floor at first
_NOTHING = LOWEST - 1


@dataclass(frozen=True)
class Candidates:
    """Pairs that may be among the largest scores of each row (a query, or a person).

    Attributes:
        rows: [m] ascending.
        index: [m] the person, or the query, of the pair.
        cut: [n] whether a row had more of them than there was room for.
    """

    rows: NDArray[np.int64]
    index: NDArray[np.int64]
    cut: NDArray[np.bool_]


def scan(
    gallery: Gallery,
    queries: NDArray[np.float32],
    *,
    top: int,
    nearest: int,
    spare: int,
    block: tuple[int, int],
    arrays: Arrays,
) -> tuple[Candidates, Candidates]:
    """Return candidates for the ``nearest`` people of each query, and for the ``top`` queries of each person.

    Memory is that of the candidates and of two blocks of scores.

    Args:
        gallery: photos by person.
        queries: [N, D] unit vectors.
        top: queries wanted a person, or 0.
        nearest: people wanted a query, or 0.
        spare: candidates kept a row beyond that, for those that differ by rounding alone.
        block: people and queries of a block of scores.
        arrays: where scores are made.
    """
    common: dict[str, Any] = {"spare": spare, "rounding": arrays.rounding(queries.shape[1])}
    n_people, n_queries = (
        _multiple(min(limit, n)) for limit, n in zip(block, (len(gallery), len(queries)), strict=True)
    )
    memory = arrays.empty(n_people * n_queries), arrays.empty(n_people * n_queries)
    near = [
        RunningTop(min(n_queries, len(queries) - begin), keep=nearest, population=len(gallery), **common)
        for begin in range(0, len(queries) if nearest else 0, n_queries)
    ]
    blocks = [_put_queries(queries[begin : begin + n_queries], arrays) for begin in range(0, len(queries), n_queries)]
    of_people: list[tuple[NDArray[np.int64], Candidates]] = []
    for people in people_blocks(gallery, n_people, arrays):
        best = RunningTop(len(people.people), keep=top, population=len(queries), **common) if top else None
        for number, begin in enumerate(range(0, len(queries), n_queries)):
            ids = np.arange(begin, min(begin + n_queries, len(queries)))
            scores = _block_scores(people, blocks[number], len(ids), memory, arrays)
            if nearest:
                _collect(near[number], scores, people.people, arrays, rows_first=False)
            if best is not None:
                _collect(best, scores, ids, arrays, rows_first=True)
        if best is not None:
            of_people.append((people.people, Candidates(*best.candidates())))
    of_queries = [
        (np.arange(len(part.floor)) + i * n_queries, Candidates(*part.candidates())) for i, part in enumerate(near)
    ]
    return _join(of_queries, len(queries)), _join(of_people, len(gallery))


def _put_queries(queries: NDArray[np.float32], arrays: Arrays) -> Any:
    """Return [D, c] vectors on the device, one a column, rounded up to whole groups with zeros."""
    columns = np.zeros((queries.shape[1], _multiple(len(queries))), np.float32)
    columns[:, : len(queries)] = queries.T
    return arrays.put(columns)


def _block_scores(people: PeopleBlock, queries: Any, n_queries: int, memory: tuple[Any, Any], arrays: Arrays) -> Any:
    """Return [p, c] scores, rounded up to whole groups with less than any score."""
    n_people, width = len(people.people), queries.shape[1]
    scores = memory[0][: _multiple(n_people) * width].reshape(_multiple(n_people), width)
    people.best_photos(queries, scores[:n_people], memory[1], arrays)
    scores[n_people:] = _NOTHING
    scores[:, n_queries:] = _NOTHING
    return scores


def _collect(top: RunningTop, scores: Any, ids: NDArray[np.int64], arrays: Arrays, *, rows_first: bool) -> None:
    """Hand the scores at or above the floor to ``top``, whose rows are the rows of ``scores``, or its columns.

    Scores are looked at in groups of 16, spaced evenly, since the largest of a group is quickly made for all groups at
    once; after the first blocks few groups hold anything of interest.
    """
    n_rows, n_columns = scores.shape
    n_groups = (n_columns if rows_first else n_rows) // GROUP
    if rows_first:
        grouped = scores.reshape(n_rows, GROUP, n_groups)
        group_best = arrays.largest(grouped, axis=1)  # [rows, groups]
    else:
        grouped = scores.reshape(GROUP, n_groups, n_columns)
        group_best = arrays.largest(grouped, axis=0)  # [groups, columns]
    n_kept = len(top.floor)
    floor = np.full(n_rows if rows_first else n_columns, np.inf, np.float32)
    if top.floor[0] == LOWEST and top.keep <= n_groups:  # the first block: k groups have a best of at least this
        best = arrays.get(group_best) if rows_first else arrays.get(group_best).T
        top.raise_floor(np.partition(best, n_groups - top.keep, axis=1)[:n_kept, n_groups - top.keep])
    floor[:n_kept] = top.floor
    level = arrays.put(floor)
    if rows_first:
        row, group = arrays.nonzero(group_best >= level[:, None])
        values = grouped[row, :, group]  # [hits, 16]
    else:
        group, row = arrays.nonzero(group_best >= level)
        values = grouped[:, group, row].T
    hit, member = arrays.nonzero(values >= level[row][:, None])
    columns = arrays.get(member * n_groups + group[hit])
    top.add(arrays.get(row[hit]), arrays.get(values[hit, member]), ids[columns])


def _join(parts: list[tuple[NDArray[np.int64], Candidates]], n_rows: int) -> Candidates:
    """Put the candidates of blocks of rows together, in the order of the rows."""
    cut = np.zeros(n_rows, bool)
    rows, index = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for ids, part in parts:
        cut[ids] = part.cut
        rows.append(ids[part.rows])
        index.append(part.index)
    row = np.concatenate(rows)
    order = np.argsort(row, kind="stable")
    return Candidates(row[order], np.concatenate(index)[order], cut)


def _multiple(n: int) -> int:
    return -(-n // GROUP) * GROUP
