"""How near each embedding lies to the others of its class."""

import numpy as np
from numpy.typing import NDArray


def likeness_to_class(vectors: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the cosine of each embedding with the mean of the *other* embeddings of its class, [N].

    Leaving the image itself out matters: with m images a class, its own share would add about 1/m. NaN where a class
    has one image.

    Args:
        vectors: [N, D] unit embeddings.
        labels: [N] class of each, numbered from 0.
    """
    unit = np.asarray(vectors, np.float64)
    sums = np.zeros((int(labels.max(initial=-1)) + 1, unit.shape[1]))
    np.add.at(sums, labels, unit)
    others = sums[labels] - unit
    lengths = np.linalg.norm(others, axis=1)
    alone = np.bincount(labels)[labels] < 2
    return np.where(alone, np.nan, (others * unit).sum(axis=1) / np.where(lengths > 0, lengths, 1))


def distribution(values: NDArray[np.floating]) -> dict[str, object]:
    """Return number, mean, standard deviation, extremes and quantiles of the values that are numbers.

    Args:
        values: [N]; NaN is left out.
    """
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return {"n": 0}
    shares = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
    return {
        "n": len(known),
        "mean": float(known.mean()),
        "sd": float(known.std()),
        "min": float(known.min()),
        "max": float(known.max()),
        "quantiles": {f"{share:g}": float(np.quantile(known, share)) for share in shares},
    }
