"""A6: does the synthetic set lie nearer to the training photos than fresh real photos do (data copying)?

Meehan, Chaudhuri and Dasgupta, "A non-parametric test to detect data-copying in generative models" (AISTATS 2020):
in each cell of the space, a Mann-Whitney test of the distances synthetic -> training against hold-out -> training;
C_T is the mean z-score over cells, weighted by their share of the hold-out. Two additions, both for faces:

- z-scores allow for photos of one person and images of one class being alike (``rank_test``);
- a generator that draws average faces is nearer to every real face, used or not, and a hub is near to everything. So
  the people of both sides are dealt out again at random, and C_T is compared with what it is then.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.rank_test import clustered_z

Scores = NDArray[np.float64]
Cells = NDArray[np.int64]
Labels = NDArray[np.generic]
MIN_CLUSTERS = 10  # classes, and hold-out people, that a cell needs


@dataclass(frozen=True)
class Nearest:
    """Points of one set, and how similar the nearest training photo is.

    Attributes:
        scores: [N] similarity.
        cells: [N] cell each point lies in.
        clusters: [N] person or class of each.
    """

    scores: Scores
    cells: Cells
    clusters: Labels


def cell_z(synthetic: Nearest, holdout: Nearest, n_cells: int) -> tuple[Scores, Scores]:
    """Return [C] z of each cell, below 0 where synthetic images are the nearer ones, and its share of the hold-out.

    Cells with too few classes or people have z = NaN and share 0; the shares of the others sum to 1 (or are all 0).
    """
    z, share = np.full(n_cells, np.nan), np.zeros(n_cells)
    for cell in range(n_cells):
        ours, theirs = synthetic.cells == cell, holdout.cells == cell
        clusters = synthetic.clusters[ours], holdout.clusters[theirs]
        if min(len(np.unique(item)) for item in clusters) >= MIN_CLUSTERS:
            z[cell] = clustered_z(-synthetic.scores[ours], -holdout.scores[theirs], *clusters)
            share[cell] = np.count_nonzero(theirs)
    return z, share / max(1.0, share.sum())


def c_t(z: Scores, share: Scores) -> float:
    """Return Meehan's C_T: the mean z over cells; NaN where no cell has enough of both."""
    return float(np.nansum(z * share)) if share.any() else float("nan")


@dataclass(frozen=True)
class RealPeople:
    """Photos of both sides, to be dealt out again.

    Attributes:
        to_people: [M, P] similarity of each photo to the nearest photo of each person.
        owners: [M] index of the person each photo shows.
        cells: [M] cell each photo lies in.
    """

    to_people: NDArray[np.float32]
    owners: NDArray[np.int64]
    cells: Cells


@dataclass(frozen=True)
class Calibrated:
    """C_T on equally many people of either side, and what it is when these are dealt out again.

    Attributes:
        c_t: as they are.
        mean: when dealt out at random.
        z: how many standard deviations below (negative) or above that it lies.
        cell_z: [C] the same of each cell's z; NaN for cells that are too small.
        n_deals: random deals that mean and standard deviation are from.
    """

    c_t: float
    mean: float
    z: float
    cell_z: Scores
    n_deals: int

    def p_values(self, z: Scores) -> Scores:
        """Return the chance of a z at least as far below, where mean and deviation come from so many deals (t)."""
        from scipy.stats import t

        return np.asarray(t.cdf(z / np.sqrt(1 + 1 / self.n_deals), self.n_deals - 1), dtype=np.float64)


def calibrate(
    synthetic: NDArray[np.float32],
    cells: Cells,
    clusters: Labels,
    people: RealPeople,
    in_training: NDArray[np.bool_],
    n_cells: int,
    deals: Sequence[NDArray[np.bool_]],
) -> Calibrated:
    """Compare C_T with its values when the same people are dealt to training and hold-out at random.

    Under "no leak" nothing tells one deal from another, whatever the generator draws.

    Args:
        synthetic: [N, P] similarity of each image to the nearest photo of each person of either side.
        cells: [N] cell of each image.
        clusters: [N] class of each image.
        people: their photos.
        in_training: [P] who really was in the training set.
        n_cells: number of cells.
        deals: other such choices of equally many people, at random.
    """

    def statistics(chosen: NDArray[np.bool_]) -> Scores:
        fresh = ~chosen[people.owners]
        ours = Nearest(synthetic[:, chosen].max(axis=1).astype(np.float64), cells, clusters)
        nearest = people.to_people[fresh][:, chosen].max(axis=1).astype(np.float64)
        z, share = cell_z(ours, Nearest(nearest, people.cells[fresh], people.owners[fresh]), n_cells)
        return np.append(z, c_t(z, share))

    observed = statistics(in_training)
    null = np.array([statistics(deal) for deal in deals])
    enough = np.isfinite(null).mean(axis=0) > 0.9
    mean, sd = np.full(len(observed), np.nan), np.full(len(observed), np.nan)
    mean[enough], sd[enough] = np.nanmean(null[:, enough], axis=0), np.nanstd(null[:, enough], axis=0, ddof=1)
    z = (observed - mean) / np.where(sd > 0, sd, np.nan)
    return Calibrated(float(observed[-1]), float(mean[-1]), float(z[-1]), z[:-1], len(deals))


def authenticity(to_train: Scores, spacing: Scores) -> float:
    """Return the share of images that are farther from their nearest training photo than other people are from it.

    Alaa et al., "How faithful is your synthetic data?" (ICML 2022), section 3, with other people in the place of other
    samples: a photo's nearest neighbour in the training set is nearly always of the same person.

    Args:
        to_train: [N] similarity of each image to its nearest training photo.
        spacing: [N] similarity of that photo to the nearest photo of another person.
    """
    return float(np.mean(to_train <= spacing))
