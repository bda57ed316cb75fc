"""Identities that are no training class: convex mixtures of several classes' embeddings."""

from dataclasses import dataclass

import numpy as np

from synthface.core.errors import ConfigError
from synthface.core.seeds import numpy_generator


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


def mixed_identity(n_classes: int, index: int, seed: int, config: MixtureConfig) -> dict[int, float]:
    """Return the code of mixed identity ``index``: weights of distinct training classes that sum to one.

    Weights are uniform on the simplex (Dirichlet with all parameters 1), drawn again until none is above
    ``max_weight``. The code depends on (seed, index) alone.

    Raises:
        ConfigError: the generator has fewer classes than an identity needs.
    """
    if n_classes < config.n_parents:
        raise ConfigError(
            f"--identities mixed needs {config.n_parents} training classes; the generator has {n_classes}"
        )
    generator = numpy_generator(seed, "mixed identity", index)
    classes = generator.choice(n_classes, size=config.n_parents, replace=False)
    weights = generator.dirichlet(np.ones(config.n_parents))
    while weights.max() > config.max_weight:
        weights = generator.dirichlet(np.ones(config.n_parents))
    return {int(k): round(float(weight), 6) for k, weight in zip(classes, weights, strict=True)}
