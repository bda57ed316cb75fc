"""Exact search: every synthetic image against every photo, in bounded memory.

``engine`` cuts the queries into shards, ``scan`` makes the scores of a shard block by block and keeps candidates
(``running_top``), ``exact`` computes these again in float64, ``result`` merges shards, ``shard_folder`` keeps them on
disk. ``arrays`` is what a device has to offer.
"""

from synthface.privacy.search.arrays import Arrays, NumpyArrays
from synthface.privacy.search.engine import Blocks, Search, ShardedSearch, search
from synthface.privacy.search.result import SearchResult

__all__ = ["Arrays", "Blocks", "NumpyArrays", "Search", "SearchResult", "ShardedSearch", "search"]
