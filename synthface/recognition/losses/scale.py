"""The scale s of normalised softmax losses: how large it must be, and what is taken where none is given."""

import math

from synthface.core.errors import ConfigError

_AS_PUBLISHED = 10_000  # classes; CASIA-WebFace has 10,572


def minimum_scale(n_classes: int, probability: float = 0.9) -> float:
    """Return the least s at which a class centre can reach a posterior ``probability`` for its own class.

    Source: CosFace, arXiv 1801.09414, eq. 6; centres on a simplex.
    """
    if n_classes < 2 or not 0 < probability < 1:
        raise ConfigError(f"{n_classes} classes at probability {probability}: give 2 classes or more, and 0 < P < 1")
    return (n_classes - 1) / n_classes * math.log((n_classes - 1) * probability / (1 - probability))


def default_scale(n_classes: int, published: float = 64.0) -> float:
    """Return the s used where none is given: the published one; for few classes, up to four times the bound at P = .9.

    Published values belong to ten thousand classes and more. At s = 64 the loss of ten classes is zero after the
    first steps; at the bound itself a margin leaves it high.
    """
    return published if n_classes >= _AS_PUBLISHED else min(published, 4 * minimum_scale(n_classes))


def normface_lower_bound(n_classes: int, scale: float) -> float:
    """Return the least NormFace loss that any embeddings can reach: log(1 + (C - 1) exp(-s C / (C - 1))).

    Source: NormFace, arXiv 1704.06369, proposition 2.
    """
    return math.log1p((n_classes - 1) * math.exp(-scale * n_classes / (n_classes - 1)))
