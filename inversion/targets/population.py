"""The distribution of real embeddings: a Gaussian with a shrunk covariance, drawn from and brought to the sphere."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import DataError

Floats = NDArray[np.float64]
_LEAST_PEOPLE = 20
_FOLDS = 5


@dataclass(frozen=True)
class Population:
    """Where real embeddings lie.

    Attributes:
        mean: [D] mean of people's embeddings.
        factor: [D, D] lower Cholesky factor of the shrunk covariance.
        shrinkage: weight of the isotropic part, 0 to 1.
        farthest: squared Mahalanobis distance that 99 % of real people stay within who took no part in a fit.
    """

    mean: Floats
    factor: Floats
    shrinkage: float
    farthest: float

    @classmethod
    def fit(cls, vectors: NDArray[np.floating], identities: NDArray[np.str_]) -> "Population":
        """Fit to one embedding a person: their first, since means over photos lie closer together than photos do.

        Source of the shrinkage: Ledoit and Wolf, J. Multivariate Analysis 88 (2004) 365-411, lemma 3.3.

        Raises:
            DataError: fewer than 20 people.
        """
        rows = np.sort(np.unique(identities, return_index=True)[1])
        if len(rows) < _LEAST_PEOPLE:
            raise DataError(f"--sample needs the embeddings of at least {_LEAST_PEOPLE} people, not of {len(rows)}")
        people = np.asarray(vectors, dtype=np.float64)[rows]
        mean = people.mean(axis=0)
        centred = people - mean
        covariance, shrinkage = ledoit_wolf(centred)
        farthest = float(np.quantile(_held_out_distances(people), 0.99))
        factor = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
        return cls(mean, factor, shrinkage, farthest)

    def draw(self, n: int, generator: np.random.Generator) -> Floats:
        """Return [n, D] unit vectors."""
        return _unit(self.mean + generator.normal(size=(n, len(self.mean))) @ self.factor.T)

    def contains(self, unit: Floats) -> NDArray[np.bool_]:
        """Say which of [n, D] unit vectors lie no farther out than real ones do."""
        return np.asarray(_squared_distances(unit - self.mean, self.factor) <= self.farthest)


def ledoit_wolf(centred: Floats) -> tuple[Floats, float]:
    """Return the shrunk covariance of [n, D] centred rows and the weight of its isotropic part."""
    n, dimension = centred.shape
    sample = centred.T @ centred / n
    scale = np.trace(sample) / dimension
    spread = float(np.square(sample).sum() - dimension * scale**2)  # |S - m I|^2 (Frobenius)
    # sum over rows of |x x' - S|^2 / n^2, without forming the outer products
    error = float(np.square(np.square(centred).sum(axis=1)).sum() / n - np.square(sample).sum()) / n
    shrinkage = 1.0 if spread <= 0 else min(1.0, max(0.0, error / spread))
    # a covariance of unit vectors can be singular; a thousandth of isotropy keeps its factor defined
    shrinkage = max(shrinkage, 1e-3)
    return (1 - shrinkage) * sample + shrinkage * scale * np.eye(dimension), shrinkage


def _held_out_distances(people: Floats) -> Floats:
    """Return each row's squared distance under a fit without it and a fifth of the others.

    Rows that took part in a fit are nearer to it than any other real person is.
    """
    folds = np.arange(len(people)) % _FOLDS
    distances = np.empty(len(people))
    for fold in range(_FOLDS):
        others = people[folds != fold]
        mean = others.mean(axis=0)
        factor = np.asarray(np.linalg.cholesky(ledoit_wolf(others - mean)[0]), dtype=np.float64)
        distances[folds == fold] = _squared_distances(people[folds == fold] - mean, factor)
    return distances


def _squared_distances(centred: Floats, factor: Floats) -> Floats:
    from scipy.linalg import solve_triangular

    distances: Floats = np.square(solve_triangular(factor, centred.T, lower=True)).sum(axis=0)
    return distances


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
