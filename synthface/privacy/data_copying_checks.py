"""The checks of gate A6, from one recogniser's view."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.cells import k_means, nearest_cell
from synthface.privacy.data_copying import (
    MIN_CLUSTERS,
    Calibrated,
    Nearest,
    RealPeople,
    authenticity,
    c_t,
    calibrate,
    cell_z,
)
from synthface.privacy.gallery import Gallery
from synthface.privacy.multiple_testing import holm
from synthface.privacy.person_maxima import person_maxima
from synthface.privacy.verdict import Check
from synthface.privacy.view import View

_FIT_PHOTOS = 5000  # of either side, to place the cells
_PEOPLE_PER_CELL = 2 * MIN_CLUSTERS
_DEALS = 99
_DEALT_PEOPLE, _DEALT_PHOTOS, _DEALT_IMAGES = 400, 3000, 2000  # each deal takes some 15 ms
_ROWS, _COLUMNS = 1024, 8192  # photos compared at once: 40 MB


def data_copying_checks(view: View) -> list[Check]:
    """Return C_T, the worst cell, and for the record z without cells and the share of authentic images."""
    common: dict[str, Any] = {"recognizer": view.recognizer, "n": len(view.synthetic), "unit": "synthetic images"}
    centres = _place_cells(view)
    fresh, near = view.probe("holdout"), view.near("train")
    synthetic = Nearest(near.nearest_score, nearest_cell(view.synthetic.vectors, centres), view.synthetic.identities)
    near_fresh = view.near("train", "holdout").nearest_score
    holdout = Nearest(near_fresh, nearest_cell(fresh.vectors, centres), fresh.owners)
    z, share = cell_z(synthetic, holdout, len(centres))
    if not share.any():
        return [_c_t_check(view, np.nan, None, common)]
    calibrated = _calibrate(view, centres, synthetic.cells)
    everywhere = [Nearest(part.scores, np.zeros_like(part.cells), part.clusters) for part in (synthetic, holdout)]
    z_all = float(cell_z(everywhere[0], everywhere[1], 1)[0][0])
    return [
        _c_t_check(view, c_t(z, share), calibrated, common),
        *_beyond_checks(view, z, calibrated, common),
        *_for_the_record(view, z_all, common),
    ]


def _c_t_check(view: View, value: float, calibrated: Calibrated | None, common: dict[str, Any]) -> Check:
    """Return the check of Meehan's limit, which shows no leak by itself: a set of average faces violates it too."""
    limit = -view.config.copying_z
    need = f"at least {MIN_CLUSTERS} classes and as many hold-out people, to test for data copying"
    if np.isfinite(value):
        need = "a look at the set: it is near to every real face, used or not, which may hide that it copies some"
    return Check(
        key="c_t",
        statistic="Meehan's C_T: z of the distances to training photos, synthetic images against hold-out photos",
        value=value,
        rule=">",
        threshold=limit,
        passed=True if value > limit else None,
        baseline=0.0,
        control=None if calibrated is None else calibrated.mean,
        need="" if value > limit else need,
        **common,
    )


def _beyond_checks(view: View, z: NDArray[np.float64], calibrated: Calibrated, common: dict[str, Any]) -> list[Check]:
    """Return the tests that can show a leak: C_T, and each cell, against the same people dealt out at random."""
    alpha = view.config.alpha
    checks = []
    p = calibrated.p_values(np.array([calibrated.z]))[0]
    if np.isfinite(p):
        checks.append(
            ("c_t_p", f"p of C_T against people dealt out at random ({calibrated.z:.1f} standard deviations)", p)
        )
    tested = np.flatnonzero(np.isfinite(calibrated.cell_z))
    if len(tested):
        worst = tested[int(np.argmin(calibrated.cell_z[tested]))]
        adjusted = min(holm(calibrated.p_values(calibrated.cell_z[tested])))
        words = f"the same of the worst of {len(tested)} cells, by Holm (Meehan's z {z[worst]:.1f})"
        checks.append(("worst_cell", words, adjusted))
    return [
        Check(
            key=key,
            statistic=statistic,
            value=value,
            rule=">",
            threshold=alpha,
            passed=value > alpha,
            p_value=value,
            **common,
        )
        for key, statistic, value in checks
    ]


def _for_the_record(view: View, z_all: float, common: dict[str, Any]) -> list[Check]:
    near, fresh = view.near("train"), view.near("train", "holdout")
    rows, places = np.unique(np.concatenate([near.nearest_row, fresh.nearest_row]), return_inverse=True)
    spacing = _nearest_other(view.gallery("train"), rows)[places]
    n = len(near.nearest_row)
    return [
        Check.reported(
            key="z_u",
            statistic="the same z without cells",
            value=z_all,
            baseline=0.0,
            **common,
        ),
        Check.reported(
            key="authenticity",
            statistic="share of images farther from their nearest training photo than other training people are",
            value=authenticity(near.nearest_score, spacing[:n]),
            control=authenticity(fresh.nearest_score, spacing[n:]),
            **common,
        ),
    ]


def _place_cells(view: View) -> NDArray[np.float64]:
    """Place cells over real people of both sides, drawn alike, so that neither is favoured."""
    rng, sides = view.rng("cells"), [view.probe("train"), view.probe("holdout")]
    pool = np.concatenate([rng.permutation(side.vectors)[:_FIT_PHOTOS] for side in sides])
    n_cells = int(np.clip(min(len(sides[1]), len(view.classes)) // _PEOPLE_PER_CELL, 1, view.config.cells))
    return k_means(pool, n_cells, rng)


def _calibrate(view: View, centres: NDArray[np.float64], cells: NDArray[np.int64]) -> Calibrated:
    """Deal equally many people of both sides out again."""
    rng, train, holdout = view.rng("deals"), view.gallery("train"), view.gallery("holdout")
    n = min(len(train), len(holdout), _DEALT_PEOPLE)
    sides = [side.take(np.sort(rng.permutation(len(side))[:n])) for side in (train, holdout)]
    starts = np.concatenate([sides[0].starts, sides[1].starts + len(sides[0].vectors)])
    vectors = np.concatenate([side.vectors for side in sides])
    pool = Gallery(vectors, np.arange(len(vectors)), np.arange(2 * n).astype(np.str_), starts)
    photos = np.sort(rng.permutation(len(vectors))[:_DEALT_PHOTOS])
    images = np.sort(rng.permutation(len(view.synthetic))[:_DEALT_IMAGES])
    in_training = np.arange(2 * n) < n
    real = RealPeople(_to_people(pool, vectors[photos]), pool.owners[photos], nearest_cell(vectors[photos], centres))
    return calibrate(
        _to_people(pool, view.synthetic.vectors[images]),
        cells[images],
        view.synthetic.identities[images],
        real,
        in_training,
        len(centres),
        [rng.permutation(in_training) for _ in range(_DEALS)],
    )


def _to_people(pool: Gallery, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return [n, P] the similarity of each query to the nearest photo of each person."""
    scores = np.empty((len(queries), len(pool)), np.float32)
    for people, rows, maxima in person_maxima(pool, queries):
        scores[rows, people] = maxima.T
    return scores


def _nearest_other(gallery: Gallery, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for some photos the score of the nearest photo of another person."""
    best = np.full(len(rows), -np.inf)
    owners = gallery.owners
    for begin, first in itertools.product(range(0, len(rows), _ROWS), range(0, len(owners), _COLUMNS)):
        part, others = rows[begin : begin + _ROWS], slice(first, first + _COLUMNS)
        scores = gallery.vectors[part] @ gallery.vectors[others].T
        scores[owners[part][:, None] == owners[others]] = -np.inf
        nearest = best[begin : begin + len(part)]
        np.maximum(nearest, scores.max(axis=1), out=nearest)
    return best
