"""Embeddings centred and brought towards equal variance in all directions, for a student to follow.

Embeddings of generated faces have much in common that real faces do not share, and vary most along a few directions; a
student that follows them as they are learns these first. Centring and whitening are
those of image retrieval (Jegou and Chum, ECCV 2012, section 3.2), with a power between none and all of it.
"""

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import ConfigError

_FLOOR = 0.05  # of the mean variance; directions in which nothing varies are not blown up


def whitened(vectors: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    """Return unit vectors whose variances along the principal axes are, before the last scaling, to the power 1 - 2p.

    Args:
        vectors: [N, D] embeddings.
        power: p; 0 only centres, 0.5 whitens fully.

    Raises:
        ConfigError: the power is outside 0 to 0.5.
    """
    if not 0 <= power <= 0.5:
        raise ConfigError(f"a whitening of {power} is not in 0 to 0.5")
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    variances, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    variances = np.maximum(variances, 0) + _FLOOR * variances.mean()
    if power > 0 and variances.mean() > 0:
        centred = (centred @ axes) * variances**-power @ axes.T
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (centred / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return unit
