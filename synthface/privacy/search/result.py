"""What a search keeps of the score matrix."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SearchResult:
    """Largest scores of each person and of each query, in float64, best first; of equals, the lower index first.

    Attributes:
        person_top: [P, t] largest scores of each person over the queries, a query counting once with its best photo
            of that person; t is at most the number of queries.
        person_query: [P, t] the queries they belong to.
        top_scores: [N, k] best scores of each query, one a person; k is at most the number of people.
        top_rows: [N, k] gallery rows they belong to: the photo of that person that is nearest, the first of equals.
    """

    person_top: NDArray[np.float64]
    person_query: NDArray[np.int64]
    top_scores: NDArray[np.float64]
    top_rows: NDArray[np.int64]

    @property
    def nearest_score(self) -> NDArray[np.float64]:
        """[N] best score of each query."""
        return self.top_scores[:, 0]

    @property
    def nearest_row(self) -> NDArray[np.int64]:
        """[N] gallery row it belongs to."""
        return self.top_rows[:, 0]


@dataclass(frozen=True)
class Part:
    """The result for some of the queries, as far as it goes.

    Attributes:
        queries: [n] the queries, ascending.
        result: theirs; ``person_query`` counts in the whole set of queries.
    """

    queries: NDArray[np.int64]
    result: SearchResult


def merge(first: Part, second: Part) -> Part:
    """Put two parts without common queries together; neither order nor grouping of merges matters."""
    queries = np.concatenate([first.queries, second.queries])
    order = np.argsort(queries)
    top = max(first.result.person_top.shape[1], second.result.person_top.shape[1])
    score = np.concatenate([first.result.person_top, second.result.person_top], axis=1)
    query = np.concatenate([first.result.person_query, second.result.person_query], axis=1)
    kept = largest(score, query, top)
    return Part(
        queries[order],
        SearchResult(
            person_top=np.take_along_axis(score, kept, axis=1),
            person_query=np.take_along_axis(query, kept, axis=1),
            top_scores=np.concatenate([first.result.top_scores, second.result.top_scores])[order],
            top_rows=np.concatenate([first.result.top_rows, second.result.top_rows])[order],
        ),
    )


def merge_all(parts: Iterable[Part]) -> SearchResult:
    """Merge the parts of all queries."""
    first, *others = parts
    for part in others:
        first = merge(first, part)
    return first.result


def largest(scores: NDArray[np.float64], index: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return [rows, n] where each row's largest scores are, best first; of equals, the lower index first."""
    order = np.lexsort((index, -scores), axis=1)
    return np.asarray(order[:, :n], dtype=np.int64)
