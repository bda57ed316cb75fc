"""Verification pairs as JSON Lines that name images by their paths, for FaceSets that are not named as LFW is."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from synthface.core.errors import DataError


@dataclass(frozen=True)
class PathPair:
    """Two images to compare, whether they show one person, and the fold they belong to."""

    first: str
    second: str
    same: bool
    fold: int


def parse_pairs_by_path(text: str, *, source: str = "pairs file") -> list[PathPair]:
    """Parse one pair a line: ``{"first": PATH, "fold": 0, "same": true, "second": PATH}``.

    Args:
        text: content of the file.
        source: its name, for messages.

    Raises:
        DataError: names the line that cannot be read, or there is none.
    """
    pairs = [_parse(line, number, source) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not pairs:
        raise DataError(f"{source} holds no pair")
    return pairs


def format_pairs_by_path(pairs: Iterable[PathPair]) -> str:
    """Write pairs as ``parse_pairs_by_path`` reads them."""
    return "".join(json.dumps(vars(pair), sort_keys=True, ensure_ascii=False) + "\n" for pair in pairs)


def _parse(line: str, number: int, source: str) -> PathPair:
    try:
        value = json.loads(line)
        pair = PathPair(value["first"], value["second"], value["same"], value["fold"])
    except (ValueError, KeyError, TypeError):
        pair = None
    if pair is None or [type(part) for part in vars(pair).values()] != [str, str, bool, int] or pair.fold < 0:
        raise DataError(
            f'{source}, line {number}: not {{"first": PATH, "second": PATH, "same": true or false, "fold": NUMBER}}'
        )
    return pair
