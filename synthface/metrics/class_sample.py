"""A bounded part of a labelled set in which classes count alike."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.core.seeds import numpy_generator


def sample_classes(labels: ArrayLike, *, classes: int | None, images: int, seed: int = 0) -> NDArray[np.int64]:
    """Return rows, ascending, of at most ``images`` images of each of at most ``classes`` classes.

    Without a bound on images, a class with hundreds of them decides every average over pairs. Classes of one image
    are left out: they have no mated pair. The images drawn from a class depend on the seed and its label alone.

    Args:
        labels: [N] class numbers.
        classes: how many to draw; all if None or if there are no more.
        images: how many to draw from each.
        seed: of the draws.
    """
    numbers = np.asarray(labels)
    names, counts = np.unique(numbers, return_counts=True)
    chosen = names[counts > 1]
    if classes is not None and classes < len(chosen):
        chosen = numpy_generator(seed, "sampled classes").choice(chosen, classes, replace=False)
    rows = [np.zeros(0, dtype=np.int64)]
    for name in chosen:
        members = np.flatnonzero(numbers == name)
        if len(members) > images:
            members = numpy_generator(seed, "images of class", int(name)).choice(members, images, replace=False)
        rows.append(members)
    return np.sort(np.concatenate(rows))
