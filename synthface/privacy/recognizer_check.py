"""V1: does a recogniser tell the held-out people apart at all, at the resolution of the release?"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from synthface.metrics.verification import allowed_false_matches, threshold_at_fmr
from synthface.privacy.config import AuditConfig
from synthface.privacy.gallery import Gallery
from synthface.privacy.verdict import Check, Interval

Scores = NDArray[np.float64]
_MAX_PHOTOS = 6000  # 18 million pairs; beyond it people are drawn at random
_SAMPLE = 200_000


@dataclass(frozen=True)
class Verification:
    """Mated and non-mated scores of real people, and the true match rate they give.

    Attributes:
        mated: scores of all pairs of photos of one person.
        non_mated: scores of pairs of photos of two people (a sample where there are many).
        tmr: share of mated pairs at or above the threshold for the false match rate.
        interval: of it, by resampling people on both sides of each pair; None without mated pairs.
        threshold: the score at that false match rate.
        unique_level: the score at the false match rate from which two classes count as one person.
        largest: the largest non-mated scores, descending.
        n_non_mated: number of all non-mated pairs.
    """

    mated: Scores
    non_mated: Scores
    tmr: float
    interval: Interval | None
    threshold: float
    unique_level: float = np.nan
    largest: Scores = field(default_factory=lambda: np.empty(0))
    n_non_mated: int = 0


def verify(gallery: Gallery, config: AuditConfig, rng: np.random.Generator) -> Verification:
    """Score all pairs of photos of a gallery of real people."""
    vectors, owners = _draw_people(gallery, rng)
    scores = (vectors @ vectors.T)[np.triu_indices(len(vectors), k=1)]
    first, second = (owners[index] for index in np.triu_indices(len(vectors), k=1))
    same = first == second
    mated, non_mated = scores[same].astype(np.float64), scores[~same]
    if not len(mated) or not len(non_mated):
        return Verification(mated, non_mated.astype(np.float64), np.nan, None, np.nan)
    threshold = threshold_at_fmr(non_mated, config.fmr)
    keep = min(len(non_mated), 10 * (allowed_false_matches(config.fmr, len(non_mated)) + 10))
    tail = np.argpartition(non_mated, len(non_mated) - keep)[-keep:]
    tail = tail[np.argsort(-non_mated[tail], kind="stable")]
    interval = _bootstrap(
        mated,
        first[same],
        non_mated[tail].astype(np.float64),
        np.stack([first[~same][tail], second[~same][tail]]),
        np.bincount(owners),
        config,
        rng,
    )
    sample = np.sort(non_mated)[:: max(1, len(non_mated) // _SAMPLE)].astype(np.float64)
    return Verification(
        mated,
        sample,
        float(np.mean(mated >= threshold)),
        interval,
        threshold,
        unique_level=threshold_at_fmr(non_mated, config.unique_fmr),
        largest=non_mated[tail].astype(np.float64),
        n_non_mated=len(non_mated),
    )


def _draw_people(gallery: Gallery, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return photos and their owners (0, 1, ...) of all people, or of as many random ones as may be compared."""
    chosen = np.arange(len(gallery))
    if len(gallery.vectors) > _MAX_PHOTOS:
        shuffled = rng.permutation(len(gallery))
        chosen = np.sort(shuffled[np.cumsum(gallery.counts[shuffled]) <= _MAX_PHOTOS])
    rows = np.isin(gallery.owners, chosen)
    return gallery.vectors[rows], np.searchsorted(chosen, gallery.owners[rows])


def _bootstrap(
    mated: Scores,
    mated_owner: NDArray[np.int64],
    tail: Scores,
    tail_owners: NDArray[np.int64],
    photos: NDArray[np.int64],
    config: AuditConfig,
    rng: np.random.Generator,
) -> Interval:
    """Resample people: a pair of i and j counts c_i c_j times, a mated pair of i c_i times.

    Only the largest non-mated scores are needed for the threshold; how many pairs there are in all follows from the
    number of photos of each person.
    """
    order = np.argsort(mated, kind="stable")
    ordered, owner = mated[order], mated_owner[order]
    rates = []
    for _ in range(config.bootstraps):
        weight = np.bincount(rng.integers(len(photos), size=len(photos)), minlength=len(photos)).astype(np.float64)
        drawn = weight * photos
        pairs = (drawn.sum() ** 2 - (drawn**2).sum()) / 2
        accepted = np.cumsum(weight[tail_owners[0]] * weight[tail_owners[1]])
        level = tail[min(int(np.searchsorted(accepted, config.fmr * pairs, side="right")), len(tail) - 1)]
        mated_weight = weight[owner]
        if mated_weight.sum() > 0:
            above = np.searchsorted(ordered, level, side="right")
            rates.append(mated_weight[above:].sum() / mated_weight.sum())
    low, high = np.quantile(rates, [1 - config.confidence, config.confidence])
    return float(low), float(high)


def recognizer_check(result: Verification, n_people: int, config: AuditConfig, recognizer: str) -> Check:
    """Return the check of gate V1 for one recogniser."""
    passed = result.interval is not None and result.interval[0] >= config.min_tmr
    need = f"a recogniser better than {recognizer} on faces of this resolution"
    if result.tmr >= config.min_tmr:
        need = f"more hold-out people than {n_people}, for {recognizer}: {result.tmr:.2f} would do, its bound not"
    if result.interval is None:
        need = "hold-out people with two or more photos each, to test the recognisers on"
    return Check(
        recognizer=recognizer,
        key="tmr",
        statistic=f"TMR at FMR {config.fmr:g} on hold-out people, lower bound",
        value=result.tmr,
        interval=result.interval,
        rule="lower >=",
        threshold=config.min_tmr,
        passed=passed,
        baseline=config.fmr,
        n=n_people,
        unit="people",
        need="" if passed else need,
    )
