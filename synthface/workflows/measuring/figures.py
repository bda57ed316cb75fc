"""All figures of ``synthface measure``, as JSON values, with the distributions that its plots show."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.data import Embeddings
from synthface.metrics.class_measures import class_recall
from synthface.metrics.image_quality import contrast, sharpness
from synthface.metrics.sampled_pairs import sampled_pairs
from synthface.metrics.set_comparison import compare_sets
from synthface.metrics.set_measures import (
    Resampling,
    class_structure,
    image_distribution,
    mean_over_classes,
    measure,
    separability,
)
from synthface.metrics.spread import within_group_variance
from synthface.metrics.verification import auc, threshold_at_fmr
from synthface.workflows.measuring.sampled_set import SampledSet, thumbnails

Floats = NDArray[np.float64]
STYLE_NEIGHBOURS = 3  # as in Kynkaanniemi et al., arXiv 1904.06991; DCFace names no k
Track = Callable[..., Iterable[NDArray[np.uint8]]]


@dataclass(frozen=True)
class Settings:
    """What the figures depend on besides the sets.

    Attributes:
        pairs: non-mated pairs to stop at.
        r: cosine of uniqueness and consistency.
        fmr: false match rate at which classes count as one person.
        neighbours: k of precision, recall, density and coverage.
        resampling: how intervals are found.
    """

    pairs: int
    r: float
    fmr: float
    neighbours: int
    resampling: Resampling


def recognizer_figures(
    sets: Mapping[str, SampledSet],
    embeddings: Mapping[str, Embeddings],
    settings: Settings,
    *,
    known_threshold: float | None,
) -> tuple[dict[str, Any], dict[str, tuple[Floats, Floats]], dict[str, Floats]]:
    """Return the figures of every set under one recogniser, and by set its scores and norms.

    Args:
        sets: ``measured`` and, if there is one, ``beside``.
        embeddings: of each whole FaceSet.
        settings: see there.
        known_threshold: of the recogniser at ``settings.fmr``, for want of a set of real people.
    """
    parts = {role: embeddings[role].take(chosen.rows) for role, chosen in sets.items()}
    pairs = {
        role: sampled_pairs(part.vectors, sets[role].labels, max_non_mated=settings.pairs)
        for role, part in parts.items()
    }
    beside = pairs.get("beside")
    threshold = known_threshold if beside is None else threshold_at_fmr(beside.non_mated, settings.fmr)
    figures: dict[str, Any] = {
        "threshold": {
            "cosine": threshold,
            "fmr": settings.fmr,
            "from": None if threshold is None else ("shipped table" if beside is None else "set beside"),
            "r": settings.r,
            "fmr_of_r": None if beside is None else float((beside.non_mated >= settings.r).mean()),
        }
    }
    pools = {role: embeddings[role].take(chosen.pool) for role, chosen in sets.items()}
    norms = {role: np.asarray(part.norms, np.float64) for role, part in pools.items() if part.norms is not None}
    for role, part in parts.items():
        labels = sets[role].labels
        figures[role] = {
            "pairs": {"mated": len(pairs[role].mated), "non_mated": len(pairs[role].non_mated)},
            **separability(pairs[role], settings.resampling),
            **class_structure(
                part.vectors,
                labels,
                pairs[role].mated,
                r=settings.r,
                threshold=threshold,
                resampling=settings.resampling,
            ),
        }
        if role in norms:
            figures[role]["norm"] = image_distribution(norms[role], sets[role].pool_labels, settings.resampling)
    if beside is not None:
        sides = [(pools[role].vectors, sets[role].pool_labels) for role in ("measured", "beside")]
        figures["distances"] = compare_sets(
            *sides[0], *sides[1], neighbours=settings.neighbours, seed=settings.resampling.seed
        )
        figures["norm_above_beside"] = _chance_above(norms)
    scores = {role: (listed.mated, listed.non_mated) for role, listed in pairs.items()}
    return figures, scores, norms


def image_figures(
    sets: Mapping[str, SampledSet], settings: Settings, *, track: Track
) -> tuple[dict[str, Any], dict[str, dict[str, Floats]]]:
    """Return sharpness, contrast and diversity of every set, and by figure and set the values of the images."""
    values: dict[str, dict[str, Floats]] = {"sharpness": {}, "contrast": {}}
    styles = {}
    for role, chosen in sets.items():
        sharp, contrasts, small = [], [], []
        for images in track(chosen.batches(), description=f"look at {role}", total=chosen.n_batches, unit="batch"):
            sharp.append(sharpness(images))
            contrasts.append(contrast(images))
            small.append(thumbnails(images))
        values["sharpness"][role], values["contrast"][role] = np.concatenate(sharp), np.concatenate(contrasts)
        styles[role] = np.concatenate(small)
    figures: dict[str, Any] = {role: {} for role in sets}
    for name, by_role in values.items():
        for role, numbers in by_role.items():
            figures[role][name] = image_distribution(numbers, sets[role].pool_labels, settings.resampling)
        if "beside" in by_role:
            figures[f"{name}_above_beside"] = _chance_above(by_role)
    for role in sets:
        figures[role]["style_variance"] = measure(within_group_variance(styles[role], sets[role].pool_labels))
        if "beside" in sets:
            figures[role]["diversity"] = _diversity(role, sets, styles, settings.resampling)
    return figures, values


def _diversity(
    role: str, sets: Mapping[str, SampledSet], styles: Mapping[str, Floats], resampling: Resampling
) -> dict[str, Any] | None:
    """Return diversity over the identities that have as many images as the largest of the measured set's."""
    size = int(np.bincount(sets["measured"].pool_labels).max())
    labels = sets[role].pool_labels
    counts = np.bincount(labels)
    full = counts[labels] == size
    if size <= STYLE_NEIGHBOURS or np.count_nonzero(counts == size) < 2:
        return None
    real_labels = sets["beside"].pool_labels if role == "beside" else None
    recalls = class_recall(styles["beside"], real_labels, styles[role][full], labels[full], neighbours=STYLE_NEIGHBOURS)
    figures = mean_over_classes(recalls, np.arange(len(recalls)), resampling)
    return {**figures, "identities": len(recalls), "images_of_each": size}


def _chance_above(values: Mapping[str, Floats]) -> float | None:
    """Return the probability that an image of the measured set has more of it than one of the set beside."""
    return auc(values["measured"], values["beside"]) if len(values) == 2 else None
