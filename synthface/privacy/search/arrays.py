"""The few array operations that a search asks of a device."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_UNIT_ROUNDOFF = 2.0**-24  # of float32


class Arrays(Protocol):
    """Arrays on some device; those made here are float32 and only passed back to the methods below.

    They are also indexed, reshaped and compared, which numpy's and torch's arrays do alike.
    """

    def put(self, values: NDArray[np.float32]) -> Any:
        """Return a copy on the device (or the array itself)."""
        ...

    def get(self, values: Any) -> NDArray[Any]:
        """Return the values as a numpy array."""
        ...

    def empty(self, size: int) -> Any:
        """Return [size] values, not yet set."""
        ...

    def scores(self, first: Any, second: Any, out: Any) -> None:
        """Write first @ second, of [m, d] and [d, n], to [m, n]."""
        ...

    def maximum(self, first: Any, second: Any, out: Any) -> None:
        """Write the larger of two values, each with each."""
        ...

    def largest(self, values: Any, axis: int) -> Any:
        """Return the largest values along an axis."""
        ...

    def nonzero(self, mask: Any) -> tuple[Any, ...]:
        """Return the indices of the true values, one array an axis."""
        ...

    def rounding(self, dimensions: int) -> float:
        """Return the largest error of a score of two unit vectors."""
        ...


class NumpyArrays:
    """Arrays in this machine's memory; the products are its BLAS library's."""

    def put(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the array itself."""
        return values

    def get(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the array itself."""
        return values

    def empty(self, size: int) -> NDArray[np.float32]:
        """Return [size] values, not yet set."""
        return np.empty(size, np.float32)

    def scores(self, first: NDArray[np.float32], second: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Write first @ second."""
        np.matmul(first, second, out=out)

    def maximum(self, first: NDArray[np.float32], second: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Write the larger of two values, each with each."""
        np.maximum(first, second, out=out)

    def largest(self, values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
        """Return the largest values along an axis."""
        return np.asarray(np.maximum.reduce(values, axis=axis))

    def nonzero(self, mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], ...]:
        """Return the indices of the true values."""
        # a flat scan is several times faster than numpy's own one over two axes
        return np.unravel_index(np.flatnonzero(mask), mask.shape)

    def rounding(self, dimensions: int) -> float:
        """Return the largest error of a score of two unit vectors."""
        return float32_rounding(dimensions)


def float32_rounding(dimensions: int) -> float:
    """Return the largest error of a float32 dot product of two unit vectors, summed in any order.

    Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1: n u / (1 - n u) |x|.|y|, and
    |x|.|y| is at most 1, here 1.01 since vectors stored as float32 are unit ones only nearly.
    """
    error = dimensions * _UNIT_ROUNDOFF
    return 1.01 * error / (1 - error)
