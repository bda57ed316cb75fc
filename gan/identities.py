"""Identities that are no training class, as weights of training classes whose learnt rows are summed."""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import ConfigError
from synthface.core.seeds import numpy_generator

Code = dict[int, float]  # weight of each training class; the weights sum to one

_RAREST = 1e-6  # share of random mixtures that has to be even enough; a few seconds of drawing for each identity
_NEGLIGIBLE = 1e-9
_FEWEST_SAMPLED = 8  # in a sample of fewer one class shows through
_FEWEST_MIXED = 3  # that the default max_weight allows
_DRAWN_AT_ONCE = 64


@dataclass(frozen=True)
class MixtureConfig:
    """How a mixed identity is made from training classes.

    Args:
        n_parents: classes that go into one identity.
        max_weight: no class has more than this share, so that none shows through.
    """

    n_parents: int = 4
    max_weight: float = 0.4

    def __post_init__(self) -> None:
        if self.n_parents < 2:
            raise ConfigError(f"--mixture.n_parents {self.n_parents}: a new identity needs at least 2 classes")
        if not 1 / self.n_parents < self.max_weight <= 1:
            raise ConfigError(f"--mixture.max_weight {self.max_weight}: give more than 1/n_parents and at most 1")
        share = share_below(self.n_parents, self.max_weight)
        if share < _RAREST:
            raise ConfigError(
                f"--mixture.max_weight {self.max_weight}: of mixtures of {self.n_parents} classes only {share:.1g} are "
                "so even, too few to draw one; give more, or another --mixture.n_parents"
            )


@dataclass(frozen=True)
class SampleConfig:
    """How an identity is sampled from the distribution of the training classes' rows.

    Args:
        n_parents: classes that the sample is written in; the more, the less it has of any one of them.
    """

    n_parents: int = 32

    def __post_init__(self) -> None:
        if self.n_parents < _FEWEST_SAMPLED:
            raise ConfigError(
                f"--sample.n_parents {self.n_parents}: give at least {_FEWEST_SAMPLED}, or use --identities mixed"
            )


def mixed_identity(n_classes: int, index: int, seed: int, config: MixtureConfig) -> Code:
    """Return the code of mixed identity ``index``: a convex mixture of distinct training classes.

    Weights are uniform on the simplex (Dirichlet with all parameters 1), drawn again until none is above
    ``max_weight``. The code depends on (seed, index) alone.

    Raises:
        ConfigError: the generator has fewer classes than an identity needs.
    """
    _check_enough(n_classes, config.n_parents, "mixed")
    generator = numpy_generator(seed, "mixed identity", index)
    classes = generator.choice(n_classes, size=config.n_parents, replace=False)
    while True:
        drawn = generator.dirichlet(np.ones(config.n_parents), size=_DRAWN_AT_ONCE)
        is_even = drawn.max(axis=1) <= config.max_weight
        if is_even.any():
            return _code(classes, drawn[is_even.argmax()])


def share_below(n: int, most: float) -> float:
    """Return the probability that none of n weights, uniform on the simplex, is above ``most``, within 1e-9.

    By inclusion and exclusion over the weights above it: j given ones all are with the probability
    (1 - j most)^(n - 1). The terms are large and of either sign, so they are summed as fractions; all that follow one
    add up to no more than it (Bonferroni).
    """
    expected = n * (1 - most) ** (n - 1)  # weights above it
    if expected > -math.log(_NEGLIGIBLE):
        return math.exp(-expected)  # no less than the probability: such weights are negatively associated
    total, step = Fraction(0), Fraction(str(most))
    for j in range(n + 1):
        term = math.comb(n, j) * max(1 - j * step, Fraction(0)) ** (n - 1)
        total += (-1) ** j * term
        if term < _NEGLIGIBLE:
            break
    return float(total)


def sampled_identity(n_classes: int, index: int, seed: int, config: SampleConfig) -> Code:
    """Return the code of sampled identity ``index``: a draw that has the mean and covariance of the classes' rows.

    With m random classes and standard normal g, the weights 1/m + (g_k - mean g) / sqrt(m) sum to one. Over draws of
    classes and g the weighted sum of rows has the rows' mean, and their covariance in every direction: the mean of m
    rows carries 1/m of it and the random part the remaining (m - 1)/m. The distribution is the Gaussian fitted to
    the rows, but for the finite m, and a draw can be written down in m numbers. A convex mixture instead lies nearer
    to the mean than any class, and so do the faces it gives. The code depends on (seed, index) alone.

    Raises:
        ConfigError: the generator has fewer classes than an identity needs.
    """
    m = config.n_parents
    _check_enough(n_classes, m, "sampled")
    generator = numpy_generator(seed, "sampled identity", index)
    classes = generator.choice(n_classes, size=m, replace=False)
    g = generator.standard_normal(m)
    return _code(classes, 1 / m + (g - g.mean()) / math.sqrt(m))


def flags_for_new_people(n_classes: int) -> str | None:
    """Return the flags of ``generate`` that make people from so many training classes who are none of them.

    Sampled ones, but for too few classes, which are mixed; None where mixtures would be too near to one of them.
    """
    if n_classes >= SampleConfig.n_parents:
        return "--identities sampled"
    if n_classes >= _FEWEST_SAMPLED:
        return f"--identities sampled --sample.n_parents {n_classes}"
    if n_classes >= MixtureConfig.n_parents:
        return "--identities mixed"
    if n_classes >= _FEWEST_MIXED:
        return f"--identities mixed --mixture.n_parents {n_classes}"
    return None


def _check_enough(n_classes: int, needed: int, kind: str) -> None:
    if n_classes < needed:
        raise ConfigError(
            f"--identities {kind} needs {needed} training classes; the generator has {n_classes}: give "
            f"{_flags_that_fit(n_classes, kind)}"
        )


def _flags_that_fit(n_classes: int, kind: str) -> str:
    """Return what to give instead, of the same kind where the classes are enough for it."""
    if kind == "sampled" and n_classes >= _FEWEST_SAMPLED:
        return f"--sample.n_parents {n_classes}"
    if kind == "mixed" and n_classes >= _FEWEST_MIXED:
        return f"--mixture.n_parents {n_classes}"
    return flags_for_new_people(n_classes) or "--identities trained, which shows the training classes"


def _code(classes: NDArray[np.int64], weights: NDArray[np.float64]) -> Code:
    return {int(k): round(float(weight), 6) for k, weight in zip(classes, weights, strict=True)}
