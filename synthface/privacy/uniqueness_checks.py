"""The checks of gate A7, a warning: how many people are in the set, and how much room it has for them."""

from typing import Any

import numpy as np

from synthface.metrics.capacity import log_capacity
from synthface.metrics.merged_classes import merge_classes
from synthface.privacy.uniqueness import class_means, within_class_scores
from synthface.privacy.verdict import Check
from synthface.privacy.view import View

_ALIKE = 0.99  # quantile of real mated scores above which two images of one class are near-duplicates


def uniqueness_checks(view: View) -> list[Check]:
    """Return the share of merged class pairs, and for the record identities, near-duplicates and capacity."""
    verification, holdout, config = view.verification, view.holdout, view.config
    if verification is None or holdout is None or len(view.classes) < 2 or not np.isfinite(verification.unique_level):
        return []
    rng = view.rng("uniqueness")
    level = verification.unique_level
    merged = merge_classes(class_means(view.classes), level)
    people = rng.permutation(len(holdout))[: len(view.classes)]
    control = merge_classes(class_means(holdout)[people], level)
    within = within_class_scores(view.classes, rng)
    common: dict[str, Any] = {"recognizer": view.recognizer, "n": len(view.classes), "unit": "classes"}
    checks = [
        Check(
            key="merged_pairs",
            statistic=f"share of class pairs that match on average at an FMR of {config.unique_fmr:g}",
            value=merged.share,
            rule="<=",
            threshold=config.max_merged,
            passed=merged.share <= config.max_merged,
            baseline=config.unique_fmr,
            control=control.share,
            **common,
        ),
        Check.reported(
            key="identities",
            statistic="effective identities: groups of classes connected by such matches (control: as many hold-out "
            f"people, {len(people)})",
            value=merged.identities,
            control=float(control.identities),
            **common,
        ),
    ]
    if len(within) and len(verification.mated):
        alike = float(np.quantile(verification.mated, _ALIKE))
        checks += [
            Check.reported(
                key="near_duplicates",
                statistic=f"share of image pairs of one class more alike than {_ALIKE:.0%} of real photo pairs of one "
                "person",
                value=float(np.mean(within > alike)),
                baseline=1 - _ALIKE,
                **common,
            ),
            Check.reported(
                key="log10_capacity",
                statistic="logarithm (base 10) of how many people the set has room for at that FMR, upper bound",
                value=log_capacity(view.classes.templates, within, level),
                **common,
            ),
        ]
    return checks
