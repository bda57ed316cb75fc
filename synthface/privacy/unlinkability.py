"""D_sys: how far the scores of linked and unlinked pairs tell them apart, 0 (not at all) to 1."""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


class ScoreBins:
    """Bins of equal share of the unlinked scores, and D_sys of linked scores counted in them.

    Gomez-Barrero et al., "General framework to evaluate unlinkability in biometric template protection systems"
    (TIFS 2018), equations 6 to 8, with prior ratio 1: D(s) = max(0, (LR - 1) / (LR + 1)), averaged over the linked
    scores. Merging scores in bins can only lower the true value; few scores in many bins raise the estimate, so there
    are about ten linked scores a bin, and the mean under permuted labels is to be subtracted.
    """

    def __init__(self, unlinked: Scores, n_linked: int) -> None:
        n_bins = int(np.clip(n_linked // 10, 4, 50))
        self.edges = np.unique(np.quantile(unlinked, np.arange(1, n_bins) / n_bins))
        counts = np.bincount(self.index(unlinked), minlength=len(self.edges) + 1)
        self.unlinked_share = np.maximum(counts, 0.5) / len(unlinked)

    def index(self, scores: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the bin of each score."""
        return np.searchsorted(self.edges, scores, side="right")

    def count(self, scores: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return [bins] how many scores fall in each bin."""
        return np.bincount(self.index(scores), minlength=len(self.unlinked_share))

    def d_sys(self, counts: NDArray[np.integer]) -> Scores:
        """Return D_sys of linked scores given by their counts [..., bins]."""
        share = counts / counts.sum(axis=-1, keepdims=True)
        ratio = share / self.unlinked_share
        local = np.maximum(0.0, (ratio - 1) / (ratio + 1))
        return np.asarray((share * local).sum(axis=-1), dtype=np.float64)
