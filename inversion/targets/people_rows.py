"""Which rows of a collection belong to whom."""

import numpy as np
from numpy.typing import NDArray


def rows_by_person(identities: NDArray[np.str_]) -> dict[str, NDArray[np.int64]]:
    """Return each person's rows, increasing; sorted once, so that many people cost little."""
    order = np.argsort(identities, kind="stable")
    people, starts = np.unique(identities[order], return_index=True)
    return dict(zip(people.tolist(), np.split(order, starts[1:]), strict=True))
