"""Finished shards of a search on disk."""

import hashlib
import io
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface.core.atomic import write_atomic
from synthface.core.errors import ConfigError
from synthface.core.hashing import sha256_json
from synthface.privacy.gallery import Gallery
from synthface.privacy.search.result import Part, SearchResult

FORMAT = 1
_ARRAYS = ("person_top", "person_query", "top_scores", "top_rows")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShardFolder:
    """One file a shard; each carries the hash of the search's inputs, and appears whole or not at all.

    Attributes:
        path: of the folder; made when the first shard is written.
        inputs_sha256: hash of the inputs of this search.
    """

    path: Path
    inputs_sha256: str

    def read(self, shard: range) -> Part | None:
        """Return a finished shard, or None; a damaged file is taken as missing.

        Raises:
            ConfigError: the file is of another search.
        """
        path = self._file(shard)
        try:
            with np.load(path, allow_pickle=False) as stored:
                inputs = str(stored["inputs_sha256"])
                arrays = {name: stored[name] for name in _ARRAYS}  # the archive's check sums are verified on the way
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            logger.warning("%s is damaged: these queries are searched again", path)
            return None
        if inputs != self.inputs_sha256:
            raise ConfigError(f"{path} belongs to a search with other inputs; give another folder or remove this one")
        return Part(np.arange(shard.start, shard.stop), SearchResult(**arrays))

    def write(self, shard: range, part: Part) -> None:
        """Store a finished shard."""
        content = io.BytesIO()
        arrays: dict[str, NDArray[np.generic]] = {name: getattr(part.result, name) for name in _ARRAYS}
        np.savez(content, inputs_sha256=np.array(self.inputs_sha256), **arrays)  # type: ignore[arg-type]
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomic(self._file(shard), content.getvalue())

    def _file(self, shard: range) -> Path:
        return self.path / f"queries-{shard.start:09d}-{shard.stop:09d}.npz"


def inputs_hash(gallery: Gallery, queries: NDArray[np.float32], top: int, nearest: int) -> str:
    """Return the hash of all that the result of a search depends on."""
    arrays: dict[str, NDArray[np.generic]] = {"photos": gallery.vectors, "starts": gallery.starts, "queries": queries}
    described = {name: [str(array.dtype), list(array.shape), _sha256(array)] for name, array in arrays.items()}
    return sha256_json({"format": FORMAT, "top": top, "nearest": nearest, **described})


def _sha256(array: NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
