"""The checks of gate A1, from the signatures of the images."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from synthface.metrics.intervals import clopper_pearson
from synthface.privacy.config import AuditConfig
from synthface.privacy.copies import Copies, find_copies
from synthface.privacy.signatures import ImageSignatures
from synthface.privacy.verdict import Check

Rows = NDArray[np.int64]
Signatures = Mapping[str, ImageSignatures]
Nearest = Mapping[tuple[str, str], Rows]  # (searched role, photos' role) -> [N, r] rows


def search_copies(signatures: Signatures, nearest: Nearest, config: AuditConfig) -> dict[tuple[str, str], Copies]:
    """Search the synthetic images for training and for hold-out photos, and real people for training photos.

    Real photos that were never used are the test of the search itself: each that it confirms is a false alarm (or a
    photo that is in the collection twice, under another name).
    """
    wanted = (("synthetic", "train"), ("synthetic", "holdout"), ("holdout", "train"), ("placebo", "train"))
    return {
        (images, photos): find_copies(
            signatures[images],
            signatures[photos],
            max_bits=config.copy_bits,
            min_correlation=config.copy_correlation,
            nearest=nearest.get((images, photos)),
        )
        for images, photos in wanted
        if images in signatures and photos in signatures
    }


def copy_checks(found: Mapping[tuple[str, str], Copies], signatures: Signatures, config: AuditConfig) -> list[Check]:
    """Return the checks of gate A1: copies of training photos, and for the record the false alarms of the search."""
    if ("synthetic", "train") not in found:
        return []
    copies, control = found["synthetic", "train"], found.get(("synthetic", "holdout"))
    return [_count_check(copies, control, signatures, config), *_false_alarms(found, signatures, config)]


def _count_check(copies: Copies, control: Copies | None, signatures: Signatures, config: AuditConfig) -> Check:
    n = len(signatures["synthetic"])
    by_chance = None if control is None else len(control) * len(signatures["train"]) / len(signatures["holdout"])
    passed: bool | None = len(copies) == 0
    if not passed and control is not None and len(control) and not _beyond(copies, control, signatures, config):
        passed = None
    return Check(
        key="copies",
        statistic=f"images confirmed as copies of a training photo (hash within {config.copy_bits} of 64 bits or "
        f"nearest to a recogniser, then fine detail correlated {config.copy_correlation:g} or more)",
        value=len(copies),
        rule="<=",
        threshold=0,
        passed=passed,
        baseline=by_chance,
        control=None if control is None else float(len(control)),
        n=n,
        unit="synthetic images",
        need=""
        if passed
        else "the copied images taken out of the set; people to look at the pairs, since about as "
        "many photos of people who were never used were confirmed",
    )


def _beyond(copies: Copies, control: Copies, signatures: Signatures, config: AuditConfig) -> bool:
    """Say whether copies of training photos outnumber those of hold-out photos by more than chance."""
    from scipy.stats import binom

    share = len(signatures["train"]) / (len(signatures["train"]) + len(signatures["holdout"]))
    return bool(binom.sf(len(copies) - 1, len(copies) + len(control), share) <= config.alpha)


def _false_alarms(found: Mapping[tuple[str, str], Copies], signatures: Signatures, config: AuditConfig) -> list[Check]:
    real = [role for role in ("placebo", "holdout") if (role, "train") in found]
    if not real:
        return []
    n = sum(len(signatures[role]) for role in real)
    alarms = sum(len(found[role, "train"]) for role in real)
    low, high = clopper_pearson(alarms, n, 2 * config.confidence - 1)
    highest = [found[role, "train"].highest for role in real if np.isfinite(found[role, "train"].highest)]
    return [
        Check.reported(
            key="false_alarms",
            statistic=f"share of {' and '.join(real)} photos confirmed as copies of a training photo (highest "
            f"correlation {max(highest, default=float('nan')):.2f})",
            value=alarms / n,
            interval=(float(low), float(high)),
            n=n,
            unit="real photos",
        )
    ]
