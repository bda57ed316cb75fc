"""The alarm for single images: which of them does it name as a training person, each as if it were the only leak?

The same search finds, or misses, the images that are planted (V4), and decides A3 for those of the release.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface.privacy.flags import raise_alarm
from synthface.privacy.gallery import Gallery


@dataclass(frozen=True)
class Named:
    """Rows (classes or images) that the alarm names as a training person.

    Attributes:
        person: [N] index of that person, or -1.
        p_global: p-value that any row leaks.
    """

    person: NDArray[np.int64]
    p_global: float


def name_people(
    vectors: NDArray[np.float32],
    train: NDArray[np.float32],
    holdout: NDArray[np.float32],
    flag_rate: float,
    rng: np.random.Generator,
    independent: int | None = None,
    released: int | None = None,
) -> Named:
    """Name the rows whose p-value passes the strictest step of the alarm: one flag among n tests needs p <= rate / n.

    Args:
        vectors: [N, D] images, or templates of classes; searched in random order.
        train: [J, D] template of each training person.
        holdout: [M, D] template of each hold-out person.
        flag_rate: false discovery rate of the alarm.
        rng: order of the rows, and the alarm's parts.
        independent: how many of the rows are, if not all.
        released: the first so many rows are the release's own; by these alone the others are judged. All by default.
    """
    order = rng.permutation(len(vectors) if released is None else released)
    order = np.concatenate([order, np.arange(len(order), len(vectors))])
    alarm = raise_alarm(vectors[order], train, holdout, rng, independent, released)
    person = np.empty(len(vectors), np.int64)
    person[order] = np.where(alarm.p_values <= flag_rate / alarm.n_tests, alarm.person, -1)
    return Named(person, alarm.p_global)


def name_image_people(
    vectors: NDArray[np.float32],
    train: Gallery,
    holdout: Gallery,
    flag_rate: float,
    rng: np.random.Generator,
    n_classes: int,
    released: int | None = None,
) -> Named:
    """Name the images that show a training person, by index in the gallery.

    An image is compared with the template of each person, which another photo resembles most, and with each photo,
    which a copy resembles most; each comparison has half the rate.
    """
    rate = flag_rate / 2
    by_person = name_people(vectors, train.templates, holdout.templates, rate, rng, n_classes, released)
    photo = name_people(vectors, train.vectors, holdout.vectors, rate, rng, n_classes, released)
    person = np.where(photo.person >= 0, train.owners[photo.person], by_person.person)
    return Named(person, min(1.0, 2 * min(by_person.p_global, photo.p_global)))
