"""Vectors brought to length 1."""

import numpy as np
from numpy.typing import NDArray


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return [N, D] vectors with rows of norm 1, computed in float64; no row may be zero."""
    wide = np.asarray(vectors, np.float64)
    unit: NDArray[np.float32] = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)
    return unit
