"""A list of verification pairs of a FaceSet, in the format of LFW's pairs.txt."""

from pathlib import Path, PurePosixPath

from synthface.core.atomic import write_atomic
from synthface.core.errors import ConfigError
from synthface.data import FaceSet
from synthface.metrics.disjoint_pairs import disjoint_pairs
from synthface.metrics.lfw_pairs import Pair, format_pairs


def write_pairs_list(path: Path, faceset: FaceSet, *, flag: str, pairs: int, seed: int) -> None:
    """Write ten folds of seeded pairs with no identity in two of them; the same file again is left alone.

    Raises:
        ConfigError: something else stands there.
        DataError: too few images, or images that the format cannot name.
    """
    drawn = disjoint_pairs(faceset.labels, folds=10, pairs=pairs, seed=seed)
    names = [(record.identity, PurePosixPath(record.source or record.path).stem) for record in faceset.records]
    text = format_pairs(
        [
            Pair(names[first], names[second], same=bool(same), fold=int(fold))
            for (first, second), same, fold in zip(drawn.rows, drawn.same, drawn.folds, strict=True)
        ]
    ).encode()
    if path.exists() and path.read_bytes() != text:
        raise ConfigError(f"{flag} {path} already exists and holds something else; give another path or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text)
