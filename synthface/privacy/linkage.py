"""A4: does a synthetic class resemble the training person whose label it carries?

A look-alike, a hub or a biased recogniser cannot align labels; only what the generator kept of its classes can.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface.metrics.verification import allowed_false_matches
from synthface.privacy.permutation import p_value, permuted
from synthface.privacy.unlinkability import ScoreBins

Scores = NDArray[np.float64]
_SAMPLE = 200_000  # unlinked scores kept for figures
_D_SYS_PERMUTATIONS = 200


@dataclass(frozen=True)
class Linkage:
    """Linkage of synthetic classes to training people.

    Attributes:
        linked: [K] score of each class with the person of its label.
        unlinked: a sample of the scores with other people.
        ranks: [K] rank of the right person, 1 is best; equal scores count against.
        area: [K] share of the unlinked scores that each linked score exceeds; their mean is the AUC.
        tmr: share of linked scores above the threshold that a share ``fmr`` of the unlinked ones exceeds.
        d_sys: D_sys less its mean under permuted labels.
        d_sys_sd: its standard deviation over resampled classes.
        p_mean: label-permutation p of the mean linked score.
        p_hits: label-permutation p of the number of rank-1 hits.
        tail_hits: classes, among those that own the largest scores, whose own label is among these.
        tail_classes: the number of classes that own the largest scores.
        tail_by_chance: the mean of ``tail_hits`` under permuted labels.
        p_tail: label-permutation p of ``tail_hits``.
    """

    linked: Scores
    unlinked: Scores
    ranks: NDArray[np.int64]
    area: Scores
    tmr: float
    d_sys: float
    d_sys_sd: float
    p_mean: float
    p_hits: float
    tail_hits: int
    tail_classes: int
    tail_by_chance: float
    p_tail: float


def measure_linkage(
    similarity: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    fmr: float,
    top_pairs: int,
    permutations: int,
    bootstraps: int,
    rng: np.random.Generator,
) -> Linkage:
    """Compare [K, J] class-to-person scores on and off the labels.

    Args:
        similarity: template of each synthetic class against the template of each training person.
        labels: [K] column of the person of each class.
        fmr: where ``tmr`` is read.
        top_pairs: number of largest scores among which label hits are counted.
        permutations: random re-assignments of the labels to the classes.
        bootstraps: resamples of the classes.
        rng: source of both.
    """
    n_classes = len(labels)
    linked = similarity[np.arange(n_classes), labels]
    others = np.ones(similarity.shape, dtype=bool)
    others[np.arange(n_classes), labels] = False
    unlinked = np.sort(similarity[others])
    ranks = 1 + np.count_nonzero((similarity >= linked[:, None]) & others, axis=1)
    area = (np.searchsorted(unlinked, linked, side="left") + np.searchsorted(unlinked, linked, side="right")) / (
        2 * len(unlinked)
    )
    threshold = unlinked[-allowed_false_matches(fmr, len(unlinked)) - 1]
    bins = ScoreBins(unlinked.astype(np.float64), n_classes)
    null = _permute_labels(similarity, labels, top_pairs, permutations, rng, bins)
    counts = bins.count(linked)
    resampled = bins.d_sys(rng.multinomial(n_classes, counts / n_classes, size=bootstraps))
    pairs = _TopPairs(similarity, top_pairs)
    tail_hits = int(pairs.hits(labels[None])[0])
    return Linkage(
        linked=linked.astype(np.float64),
        unlinked=unlinked[:: max(1, len(unlinked) // _SAMPLE)].astype(np.float64),
        ranks=ranks,
        area=area,
        tmr=float(np.mean(linked > threshold)),
        d_sys=float(bins.d_sys(counts) - null.d_sys.mean()),
        d_sys_sd=float(resampled.std()),
        p_mean=p_value(null.mean, float(linked.mean(dtype=np.float64))),
        p_hits=p_value(null.hits, float(np.count_nonzero(similarity.argmax(axis=1) == labels))),
        tail_hits=tail_hits,
        tail_classes=pairs.n_classes,
        tail_by_chance=pairs.expected_hits(labels),
        p_tail=p_value(null.tail, float(tail_hits)),
    )


class _TopPairs:
    """The largest scores of the whole matrix, sorted by class."""

    def __init__(self, similarity: NDArray[np.float32], n: int) -> None:
        row_best = similarity.max(axis=1)
        n = min(n, similarity.size)
        # each row's best is above this level, so at least min(n, K) scores are
        level = np.sort(row_best)[-min(n, len(row_best))]
        rows, columns = np.nonzero(similarity >= level) if len(row_best) >= n else np.indices(similarity.shape)
        rows, columns = rows.ravel(), columns.ravel()
        largest = np.argsort(-similarity[rows, columns], kind="stable")[:n]
        largest = largest[np.argsort(rows[largest], kind="stable")]
        self.rows, self.columns = rows[largest], columns[largest]
        self.starts = np.flatnonzero(np.diff(self.rows, prepend=-1))
        self.n_classes = len(self.starts)

    def hits(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return [b] how many of the classes have their own label's person among the pairs, for labels [b, K]."""
        owned = np.maximum.reduceat(labels[:, self.rows] == self.columns, self.starts, axis=1)
        return np.asarray(owned.sum(axis=1), dtype=np.int64)

    def expected_hits(self, labels: NDArray[np.int64]) -> float:
        """Return the mean of ``hits`` over all permutations of labels [K]: a class may own several of the pairs."""
        bearers = np.bincount(labels, minlength=int(self.columns.max()) + 1)
        return float(bearers[self.columns].sum() / len(labels))


@dataclass(frozen=True)
class _LabelNull:
    mean: Scores
    hits: Scores
    tail: Scores
    d_sys: Scores


def _permute_labels(
    similarity: NDArray[np.float32],
    labels: NDArray[np.int64],
    top_pairs: int,
    permutations: int,
    rng: np.random.Generator,
    bins: ScoreBins,
) -> _LabelNull:
    best = similarity.argmax(axis=1)
    pairs = _TopPairs(similarity, top_pairs)
    rows = np.arange(len(labels))
    means, hits, tails = [], [], []
    d_sys: list[Scores] = []
    for block in permuted(labels, permutations, rng):
        scores = similarity[rows, block]  # [b, K]
        means.append(scores.mean(axis=1, dtype=np.float64))
        hits.append((block == best).sum(axis=1))
        tails.append(pairs.hits(block.astype(np.int64)))
        for row in scores[: max(0, _D_SYS_PERMUTATIONS - len(d_sys))]:
            d_sys.append(bins.d_sys(bins.count(row)))
    return _LabelNull(
        np.concatenate(means),
        np.concatenate(hits).astype(np.float64),
        np.concatenate(tails).astype(np.float64),
        np.array(d_sys, dtype=np.float64),
    )
