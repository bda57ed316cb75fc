"""V5: images in which no face is found. What is measured of them says nothing about anybody, so they are unaudited."""

from dataclasses import dataclass
from typing import Any

from synthface.metrics.intervals import clopper_pearson
from synthface.privacy.config import AuditConfig
from synthface.privacy.verdict import Check


@dataclass(frozen=True)
class Acquisition:
    """What a face detector found.

    Attributes:
        unaudited: names of the synthetic images in which it found no face.
        control: share of real hold-out photos at the same resolution in which it found none; None if not tried.
    """

    unaudited: tuple[str, ...]
    control: float | None = None


def unaudited_check(acquisition: Acquisition | None, n_images: int, config: AuditConfig) -> Check:
    """Return the check of gate V5 on failures to acquire (ISO/IEC 19795-1); undecided where nobody looked."""
    common: dict[str, Any] = {
        "key": "unaudited",
        "rule": "<=",
        "threshold": config.max_unaudited,
        "unit": "synthetic images",
    }
    words = "share of the synthetic images in which no face was found, and which are unaudited"
    if acquisition is None:
        return Check(
            statistic=f"{words}: not checked",
            value=float("nan"),
            passed=None,
            n=n_images,
            need="the face detector (pip install -e '.[detect]' in the checkout), to find images without a face",
            **common,
        )
    found = len(acquisition.unaudited)
    low, high = clopper_pearson(found, n_images, 2 * config.confidence - 1)
    passed = found <= config.max_unaudited * n_images
    return Check(
        statistic=words,
        value=found / n_images,
        interval=(float(low), float(high)),
        passed=passed,
        control=acquisition.control,
        n=n_images,
        need="" if passed else "the images without a face taken out of the set (listed in audit.json)",
        **common,
    )
