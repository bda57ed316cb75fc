"""Embeddings of a FaceSet under one recogniser, and their ``.npz`` file (no pickles inside)."""

import io
import json
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.core.atomic import write_atomic
from synthface.core.errors import DataError
from synthface.data.array_file import DAMAGED_ARRAY_FILE, check_declared_sizes


@dataclass(frozen=True)
class Embeddings:
    """Unit embeddings with the identity and the image each belongs to.

    Attributes:
        vectors: [N, D] float32, unit norm.
        identities: [N] strings.
        images: [N] strings, the image paths.
        norms: [N] float32 norms before normalisation (a quality cue in MagFace's sense), or None.
        info: what made them (recogniser, its hash, the FaceSet's manifest hash), as JSON.
    """

    vectors: NDArray[np.float32]
    identities: NDArray[np.str_]
    images: NDArray[np.str_]
    norms: NDArray[np.float32] | None = None
    info: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "identities", np.asarray(self.identities, dtype=np.str_))
        object.__setattr__(self, "images", np.asarray(self.images, dtype=np.str_))
        vectors = np.asarray(self.vectors)
        if self.identities.ndim != 1 or self.images.ndim != 1 or vectors.dtype.kind != "f":
            raise DataError("embeddings are real numbers, with one list of identities and one of image names")
        if self.norms is not None and self.norms.shape != self.identities.shape:
            raise DataError(f"{len(self.identities)} embeddings with norms of shape {self.norms.shape}; give one each")
        if vectors.ndim != 2 or not len(vectors) == len(self.identities) == len(self.images):
            raise DataError(
                f"embeddings of shape {vectors.shape} with {len(self.identities)} identities and "
                f"{len(self.images)} images: give one row, one identity and one image name each"
            )
        if not np.isfinite(vectors).all():
            rows = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
            raise DataError(
                f"{len(rows)} embeddings hold NaN or infinity (first: row {rows[0]}); embed those images again"
            )
        length = np.linalg.norm(vectors, axis=1)
        if len(vectors) and np.abs(length - 1).max() > 1e-3:
            row = int(np.abs(length - 1).argmax())
            raise DataError(f"embedding row {row} has norm {length[row]:.4g}; give unit embeddings")
        object.__setattr__(self, "vectors", vectors.astype(np.float32, copy=False))

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, rows: NDArray[Any]) -> "Embeddings":
        """Return the embeddings of some rows (indices or a mask)."""
        norms = None if self.norms is None else self.norms[rows]
        return Embeddings(self.vectors[rows], self.identities[rows], self.images[rows], norms, self.info)

    def save(self, path: Path) -> None:
        """Write ``.npz``; the same embeddings give the same bytes."""
        stream = io.BytesIO()
        arrays = {"vectors": self.vectors, "identities": self.identities, "images": self.images}
        if self.norms is not None:
            arrays["norms"] = self.norms
        np.savez(stream, info=np.array(json.dumps(self.info, sort_keys=True)), **arrays)  # type: ignore[arg-type]
        write_atomic(path, stream.getvalue())

    @classmethod
    def load(cls, path: Path, *, flag: str = "embeddings") -> "Embeddings":
        """Read ``.npz`` written by ``save``.

        Raises:
            DataError: missing, damaged, or without the expected arrays.
        """
        if not path.is_file():
            raise DataError(f"{flag} {path} does not exist")
        if not zipfile.is_zipfile(path):
            raise DataError(
                f"{flag} {path} is not an embeddings file (no .npz archive); make one with 'synthface embed'"
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numpy's advice on damaged headers
                check_declared_sizes(path)
                with np.load(path, allow_pickle=False) as file:
                    norms = file.get("norms")
                    info = json.loads(str(file["info"])) if "info" in file else {}
                    return cls(file["vectors"], file["identities"], file["images"], norms, info)
        except DAMAGED_ARRAY_FILE as error:
            reason = " ".join(str(error).split())[:120]
            raise DataError(
                f"{flag} {path} is not an embeddings file ({reason}); make one with 'synthface embed'"
            ) from None
