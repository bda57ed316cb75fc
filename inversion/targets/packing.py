"""People who do not exist: draws from a population, no two of which a recogniser takes for one person."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inversion.targets.population import Floats, Population
from synthface.core.errors import ConfigError
from synthface.core.seeds import numpy_generator

_DRAWN = 128  # candidates at a time
_PUSHES = 12  # attempts to move a candidate off those that it is too close to
_CLEARANCE = 0.02  # cosine below the threshold that a pushed candidate aims for


@dataclass(frozen=True)
class Packing:
    """Embeddings of new people.

    Attributes:
        vectors: [N, D] unit vectors.
        n_candidates: how many were drawn.
        n_pushed: how many of those kept had to be moved.
        closest_pair: highest cosine of two of them.
        closest_real: highest cosine of one of them with a real embedding.
    """

    vectors: NDArray[np.float32]
    n_candidates: int
    n_pushed: int
    closest_pair: float
    closest_real: float


def pack_people(
    population: Population,
    n: int,
    threshold: float,
    *,
    real: NDArray[np.float32],
    seed: int = 0,
    patience: int = 1000,
) -> Packing:
    """Draw people one after the other, each below the threshold to all before and to all real ones.

    A candidate too close to somebody is pushed away along the sphere, and kept if it ends clear of all and no
    farther out than real people lie. So a candidate is kept or not by those before it alone: fewer people asked for
    are the first of more.

    Args:
        population: where real people lie.
        n: people wanted.
        threshold: cosine from which two count as one person.
        real: [M, D] unit embeddings of real people that nobody may resemble.
        seed: seed of the draws.
        patience: candidates rejected in a row after which no more are tried.

    Raises:
        ConfigError: not so many fit; the message says how many did.
    """
    generator = numpy_generator(seed, "new people")
    dimension = len(population.mean)
    taken = np.empty((len(real) + n, dimension), np.float32)
    taken[: len(real)] = real
    kept = pushed = drawn = rejected = 0
    closest_pair = closest_real = -1.0
    while kept < n:
        for candidate in population.draw(_DRAWN, generator):
            drawn += 1
            found, moves = _clear_of(candidate, taken[: len(real) + kept], threshold)
            if found is None or not population.contains(found[None])[0]:
                rejected += 1
                if rejected >= patience:
                    raise ConfigError(
                        f"--sample {n}: only {kept} people fit who are below {threshold:.3f} to each other and to the "
                        f"{len(real):,} real embeddings; ask for fewer, or take a larger --distinct-fmr"
                    )
                continue
            vector = found.astype(np.float32)
            nearness = taken[: len(real) + kept] @ vector
            closest_real = max(closest_real, float(nearness[: len(real)].max(initial=-1)))
            closest_pair = max(closest_pair, float(nearness[len(real) :].max(initial=-1)))
            taken[len(real) + kept] = vector
            kept, pushed, rejected = kept + 1, pushed + (moves > 0), 0
            if kept == n:
                break
    return Packing(taken[len(real) :], drawn, pushed, closest_pair, closest_real)


def _clear_of(candidate: Floats, taken: NDArray[np.float32], threshold: float) -> tuple[Floats | None, int]:
    """Return the candidate, moved if need be until it is below the threshold to all, and the number of moves."""
    vector = candidate
    for moves in range(_PUSHES):
        scores = taken @ vector.astype(np.float32)
        close = np.flatnonzero(scores >= np.float32(threshold))
        if not len(close):
            return vector, moves
        # what it has in common with each of them beyond the threshold is taken away
        beyond = scores[close].astype(np.float64) - threshold + _CLEARANCE
        vector = vector - beyond @ taken[close].astype(np.float64)
        vector /= np.linalg.norm(vector)
    return None, _PUSHES
