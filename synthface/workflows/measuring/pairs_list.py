"""A list of verification pairs of a FaceSet: by path, or in the format of LFW's pairs.txt."""

from pathlib import Path, PurePosixPath

from synthface.core.atomic import write_atomic
from synthface.core.errors import ConfigError, DataError
from synthface.data import FaceSet
from synthface.metrics.disjoint_pairs import PairRows, disjoint_pairs
from synthface.metrics.lfw_pairs import Pair, format_pairs
from synthface.metrics.pairs_by_path import PathPair, format_pairs_by_path
from synthface.workflows.pairs_file import PAIRS_BY_PATH


def write_pairs_list(path: Path, faceset: FaceSet, *, flag: str, pairs: int, seed: int) -> None:
    """Write ten folds of seeded pairs with no identity in two of them; the same file again is left alone.

    Raises:
        ConfigError: something else stands there.
        DataError: too few images, or images that the format cannot name.
    """
    drawn = disjoint_pairs(faceset.labels, folds=10, pairs=pairs, seed=seed)
    text = (_by_path(faceset, drawn) if path.suffix == PAIRS_BY_PATH else _like_lfw(faceset, drawn)).encode()
    if path.exists() and path.read_bytes() != text:
        raise ConfigError(f"{flag} {path} already exists and holds something else; give another path or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text)


def _by_path(faceset: FaceSet, drawn: PairRows) -> str:
    paths = [record.path for record in faceset.records]
    return format_pairs_by_path(
        PathPair(paths[first], paths[second], same=bool(same), fold=int(fold))
        for (first, second), same, fold in zip(drawn.rows, drawn.same, drawn.folds, strict=True)
    )


def _like_lfw(faceset: FaceSet, drawn: PairRows) -> str:
    names = [(record.identity, PurePosixPath(record.source or record.path).stem) for record in faceset.records]
    try:
        return format_pairs(
            [
                Pair(names[first], names[second], same=bool(same), fold=int(fold))
                for (first, second), same, fold in zip(drawn.rows, drawn.same, drawn.folds, strict=True)
            ]
        )
    except DataError as error:
        raise DataError(f"{error}; a file called NAME{PAIRS_BY_PATH} names images by their paths") from None
