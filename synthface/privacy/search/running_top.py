"""The largest scores of each of many rows, while blocks of scores come by."""

import numpy as np
from numpy.typing import NDArray

LOWEST = -1.5  # below every score of two unit vectors
_WIDTH = 256  # new scores a row that are merged at once
_SIGN = np.uint32(1 << 31)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


class RunningTop:
    """Keeps, a row, every score that may be among the exact largest ones.

    A float32 score is off by at most ``rounding``, so whatever is within twice that of the k-th largest may in truth
    be among the k largest. A few more than k a row are held for it; ``candidates`` says for which rows that was not
    enough. Scores are kept as keys of 64 bits (order of the score, then lower index first), which numpy partitions
    without an index array. New ones are put aside and merged in when there are as many as there is room for.
    """

    def __init__(self, n_rows: int, *, keep: int, spare: int, population: int, rounding: float) -> None:
        """Start with nothing.

        Args:
            n_rows: number of rows.
            keep: k, largest scores wanted a row; at most ``population``.
            spare: scores held a row beyond these.
            population: scores that will come by a row.
            rounding: largest error of a score.
        """
        self.keep, self._room, self._band = keep, min(keep + spare, population), np.float32(2 * rounding)
        self._holds_all = self._room == population
        self._keys = np.zeros((n_rows, self._room), np.uint64)  # sorted; 0 is nothing
        self.floor = np.full(n_rows, LOWEST, np.float32)  # [n] scores below it are of no interest
        self._aside: list[tuple[NDArray[np.int64], NDArray[np.uint64]]] = []
        self._n_aside = 0

    def raise_floor(self, known: NDArray[np.float32]) -> None:
        """Say that each row has k scores that are at least so large."""
        np.maximum(self.floor, known - self._band, out=self.floor)

    def add(self, rows: NDArray[np.int64], scores: NDArray[np.float32], index: NDArray[np.int64]) -> None:
        """Take in scores: [m] their rows, values, and index in whatever is searched."""
        if len(rows):
            self._aside.append((rows, _encode(scores, index)))
            self._n_aside += len(rows)
            if self._n_aside >= self._keys.size:
                self._merge()

    def candidates(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Return the rows (ascending) and indices of the candidates, and [n] whether a row had too little room."""
        self._merge()
        floor = _decode(self._keys[:, -self.keep]) - self._band
        inside = _decode(self._keys) >= floor[:, None]
        rows, columns = np.nonzero(inside)
        index = (_LOW - (self._keys[rows, columns] & _LOW)).astype(np.int64)
        cut = np.logical_and.reduce(inside, axis=1) & (not self._holds_all)
        return rows.astype(np.int64), index, np.asarray(cut, bool)

    def _merge(self) -> None:
        if not self._aside:
            return
        rows = np.concatenate([rows for rows, _ in self._aside])
        keys = np.concatenate([keys for _, keys in self._aside])
        self._aside, self._n_aside = [], 0
        order = np.argsort(rows, kind="stable")
        rows, keys = rows[order], keys[order]
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        position = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
        for begin in range(0, int(position.max()) + 1, _WIDTH):  # so that one row with many does not widen the table
            part = (position >= begin) & (position < begin + _WIDTH)
            self._merge_part(rows[part], keys[part], position[part] - begin)

    def _merge_part(self, rows: NDArray[np.int64], keys: NDArray[np.uint64], position: NDArray[np.int64]) -> None:
        """Merge keys sorted by row, each with its place among those of its row."""
        starts = np.flatnonzero(position == 0)
        touched = rows[starts]
        table = np.zeros((len(touched), self._room + int(position.max()) + 1), np.uint64)
        table[:, : self._room] = self._keys[touched]
        table[np.cumsum(position == 0) - 1, self._room + position] = keys
        table.partition(table.shape[1] - self._room, axis=1)
        self._keys[touched] = np.sort(table[:, -self._room :], axis=1)
        kth = self._keys[touched, -self.keep]
        known = np.where(kth > 0, _decode(kth), LOWEST).astype(np.float32)
        self.floor[touched] = np.maximum(self.floor[touched], known - self._band)


def _encode(scores: NDArray[np.float32], index: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return keys that sort by score, and among equal scores by falling index."""
    bits = (scores + np.float32(0)).view(np.uint32)  # -0 becomes 0
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return (ordered.astype(np.uint64) << _SHIFT) | (_LOW - index.astype(np.uint64))


def _decode(keys: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Return the scores of keys."""
    ordered = (keys >> _SHIFT).astype(np.uint32)
    bits = np.where(ordered & _SIGN, ordered ^ _SIGN, ~ordered)
    return bits.view(np.float32)
