"""Scores that trust good images more: QMagFace (arXiv 2111.13475), for embeddings whose length measures quality.

With s the cosine and q the lesser length of the two: score = s + omega(s) q, omega(s) = min(0, beta s - alpha). Pairs
that are clearly mated (s > alpha / beta) keep their cosine; below, high quality counts against a match.

Recognisers that were not trained for it can want the opposite, quality that counts for a match: degraded faces of
strangers look alike. The fit then has a negative alpha, which the bound at 0 cuts off; ``bounded=False``, which is
ours, keeps omega(s) = beta s - alpha as it was fitted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.core.errors import DataError
from synthface.core.seeds import numpy_generator
from synthface.metrics.sampled_pairs import row_products
from synthface.metrics.verification import allowed_false_matches

Floats = NDArray[np.float64]
_N_FMRS, _LEAST_FMR, _GREATEST_FMR = 50, 1e-5, 1e-2
_N_OMEGAS, _LARGEST_CHANGE = 20, 0.5


@dataclass(frozen=True)
class QualityWeight:
    """omega(s) = min(0, beta s - alpha); belongs to the recogniser it was fitted on, whose lengths set its scale.

    Attributes:
        alpha: how much quality counts at cosine 0.
        beta: how fast that falls with the cosine.
        bounded: whether omega is at most 0, as published.
    """

    alpha: float = 0.0
    beta: float = 0.0
    bounded: bool = True

    def scores(self, cosines: ArrayLike, qualities: ArrayLike) -> Floats:
        """Return the scores of pairs.

        Args:
            cosines: [N] similarities.
            qualities: [N] of ``pair_quality``.

        Returns:
            [N]; they can leave [-1, 1], so thresholds must be chosen on them, not on cosines.
        """
        s, q = np.asarray(cosines, np.float64), np.asarray(qualities, np.float64)
        omega = self.beta * s - self.alpha
        return s + (np.minimum(0.0, omega) if self.bounded else omega) * q


@dataclass(frozen=True)
class CosinesAndQualities:
    """Cosines and qualities of pairs, both [N]."""

    cosines: Floats
    qualities: Floats


def pair_quality(norms: ArrayLike, other_norms: ArrayLike) -> Floats:
    """Return the quality of pairs: the lesser of the two embeddings' lengths [N], as it comes."""
    return np.minimum(np.asarray(norms, np.float64), np.asarray(other_norms, np.float64))


def fuse_template(unit: ArrayLike, norms: ArrayLike) -> tuple[Floats, float]:
    """Fuse several images of one person, longer embeddings counting more.

    f = sum a_i x_i over the raw embeddings x_i of length a_i, and the template's quality is q = sum a_i^2 / sum a_i.

    Args:
        unit: [N, D] unit embeddings.
        norms: [N] their lengths before normalisation.

    Returns:
        The unit template [D] and its quality.

    Raises:
        DataError: no images, lengths that do not fit, or all of length 0.
    """
    u, a = np.asarray(unit, np.float64), np.asarray(norms, np.float64)
    if u.ndim != 2 or a.shape != u.shape[:1] or not len(a):
        raise DataError(f"a template of {u.shape} embeddings and {a.shape} lengths; give [N, D] and [N], N at least 1")
    fused = (np.square(a)[:, None] * u).sum(axis=0)
    length = float(np.linalg.norm(fused))
    if length == 0:
        raise DataError("the template's embeddings cancel out or have length 0, so it has no direction")
    return fused / length, float(np.square(a).sum() / a.sum())


def people_pairs(
    unit: ArrayLike,
    norms: ArrayLike,
    labels: ArrayLike,
    *,
    per_identity: int = 50,
    non_mated: int = 500_000,
    seed: int = 0,
) -> tuple[CosinesAndQualities, CosinesAndQualities]:
    """Draw the pairs of a labelled set to fit on: mated and non-mated ones.

    Args:
        unit: [N, D] unit embeddings.
        norms: [N] their lengths before normalisation.
        labels: [N] identity of each.
        per_identity: mated pairs an identity at most, so that those with many images do not decide alone.
        non_mated: non-mated pairs to draw, with replacement.
        seed: of the draws.

    Raises:
        DataError: no two images are of one identity, or none of two.
    """
    u, a, names = np.asarray(unit), np.asarray(norms, np.float64), np.asarray(labels)
    generator = numpy_generator(seed, "pairs to fit quality weights on")
    rows = []
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        pairs = members[np.stack(np.triu_indices(len(members), k=1), axis=1)]
        rows.append(generator.permutation(pairs)[:per_identity])
    drawn = generator.integers(len(names), size=(non_mated, 2))
    kinds = np.concatenate(rows), drawn[names[drawn[:, 0]] != names[drawn[:, 1]]]
    if not all(map(len, kinds)):
        raise DataError("quality weights are fitted on pairs: give two identities or more, with two images each")
    mated, others = (
        CosinesAndQualities(row_products(u, kind[:, 0], kind[:, 1]), pair_quality(a[kind[:, 0]], a[kind[:, 1]]))
        for kind in kinds
    )
    return mated, others


def fit_quality_weight(
    mated: CosinesAndQualities, non_mated: CosinesAndQualities, *, legacy_sigmoid: bool = False
) -> QualityWeight:
    """Fit alpha and beta on pairs of people who are not tested on.

    For each of 50 FMRs from 1e-5 to 1e-2 (those the pairs can show) the omega of a grid, and with it a threshold t on
    s + omega q, that miss fewest mated pairs; of equals the least omega. Then the least-squares line
    omega = beta t - alpha.

    Args:
        mated: pairs of one person.
        non_mated: pairs of two; at least 1000 to see an FMR of 1e-3.
        legacy_sigmoid: pass the cosines through a sigmoid while fitting, as the authors' code does (and does not when
            scoring).

    Raises:
        DataError: too few non-mated pairs for two FMRs.
    """
    transform = _sigmoid if legacy_sigmoid else np.asarray
    s_mated, s_non_mated = transform(mated.cosines), transform(non_mated.cosines)
    fmrs = np.logspace(np.log10(_LEAST_FMR), np.log10(_GREATEST_FMR), _N_FMRS)
    fmrs = fmrs[fmrs * len(s_non_mated) >= 1]
    largest = max(np.max(mated.qualities, initial=0.0), np.max(non_mated.qualities, initial=0.0))
    if len(fmrs) < 2 or not len(s_mated) or largest <= 0:
        raise DataError(
            f"quality weights cannot be fitted on {len(s_mated)} mated and {len(s_non_mated)} non-mated pairs; give "
            "some hundred non-mated ones or more, with lengths"
        )
    omegas = np.linspace(-_LARGEST_CHANGE, _LARGEST_CHANGE, _N_OMEGAS) / largest
    omegas = omegas[np.argsort(np.abs(omegas), kind="stable")]
    # for each omega, sorted once: the threshold at every FMR, and the share of mated pairs below it
    rejected = [len(s_non_mated) - 1 - allowed_false_matches(fmr, len(s_non_mated)) for fmr in fmrs]
    at = np.array([np.nextafter(np.sort(s_non_mated + w * non_mated.qualities)[rejected], np.inf) for w in omegas])
    missed = [
        np.searchsorted(np.sort(s_mated + w * mated.qualities), t, side="left") for w, t in zip(omegas, at, strict=True)
    ]
    chosen = np.argmin(missed, axis=0)
    thresholds = at[chosen, np.arange(len(fmrs))]
    if np.ptp(thresholds) < 1e-12:
        return QualityWeight(alpha=-float(omegas[chosen].mean()), beta=0.0)
    beta, minus_alpha = np.polyfit(thresholds, omegas[chosen], 1)
    return QualityWeight(alpha=-float(minus_alpha), beta=float(beta))


def _sigmoid(values: ArrayLike) -> Floats:
    return 1 / (1 + np.exp(-np.asarray(values, np.float64)))
