"""Searching a copy of the release for what was planted in it, blind.

The search is given embeddings and signatures, and which of them are the release's; who planted what is looked up only
after it has named a person, or nobody, for each image and class.
"""

import numpy as np
from numpy.typing import NDArray

from synthface.core.seeds import numpy_generator
from synthface.data.embeddings import Embeddings
from synthface.privacy.config import AuditConfig
from synthface.privacy.copies import find_copies
from synthface.privacy.gallery import build_gallery, unit
from synthface.privacy.image_alarm import name_image_people, name_people
from synthface.privacy.nearest_photo import nearest_photo
from synthface.privacy.plants import KINDS, Plant, PlantOutcome, Plants, Sets
from synthface.privacy.search import search
from synthface.privacy.signatures import ImageSignatures


def search_plants(
    plants: Plants, synthetic: Sets, train: Sets, holdout: Sets, photos: ImageSignatures, config: AuditConfig
) -> tuple[PlantOutcome, ...]:
    """Search a copy of the release that holds the plants, and count how many are named.

    Every plant counts as if it were the only leak: what chance looks like is told by the release alone, as in A3, and
    the plant must pass the strictest step of the alarm, so that many plants do not help each other over the false
    discovery rate.

    Args:
        plants: what was planted.
        synthetic: the release.
        train: the training photos.
        holdout: the hold-out photos.
        photos: signatures of the training photos, in the same order.
        config: the alarm's limits.
    """
    kept = ~np.isin(photos.images, sorted(plants.withheld))
    searched = {name: embeddings.take(kept) for name, embeddings in train.items()}
    found = {name: _by_alarm(plants, name, synthetic, searched[name], holdout, config) for name in synthetic}
    copied = _as_copies(plants, searched, photos.take(kept), config)
    anyone = np.any([*found.values(), copied], axis=0)
    kinds = np.array([plant.kind for plant in plants.plants])
    spread = np.array([plant.classes for plant in plants.plants])
    return tuple(
        PlantOutcome(
            kind=key,
            n=int(np.count_nonzero(kinds == key)),
            found=int(np.count_nonzero(anyone & (kinds == key))),
            by_recognizer={name: int(np.count_nonzero(one & (kinds == key))) for name, one in found.items()},
            as_copies=int(np.count_nonzero(copied & (kinds == key))),
            classes=int(np.median(spread[kinds == key])),
        )
        for key in KINDS
        if (kinds == key).any()
    )


def _by_alarm(
    plants: Plants, recognizer: str, synthetic: Sets, train: Embeddings, holdout: Sets, config: AuditConfig
) -> NDArray[np.bool_]:
    """Return for each plant whether the alarm of this recogniser names its person, for the class or for an image."""
    planted, released = plants.sets[recognizer].vectors, synthetic[recognizer].vectors
    people = build_gallery(train, config.images_per_identity)
    control = build_gallery(holdout[recognizer], config.images_per_identity)
    classes = build_gallery(synthetic[recognizer], 1 << 40).templates
    templates = unit(np.stack([_members(plant, planted, released).sum(axis=0) for plant in plants.plants]))
    rng = numpy_generator(config.seed, "planted release", recognizer)
    every_class = np.concatenate([classes, templates])
    rate, n = config.flag_rate, len(classes)
    of_class = name_people(every_class, people.templates, control.templates, rate, rng, released=n).person
    images = np.concatenate([released, planted])
    of_image = name_image_people(images, people, control, rate, rng, n, len(released)).person
    of_class, of_image = of_class[len(classes) :], of_image[len(released) :]
    truth = np.searchsorted(people.people, [plant.person for plant in plants.plants])
    by_image = [
        bool((of_image[list(plant.rows)] == who).any()) for plant, who in zip(plants.plants, truth, strict=True)
    ]
    return np.asarray(np.array(by_image) | ((of_class == truth) & ~is_image(plants)))


def _as_copies(plants: Plants, train: Sets, photos: ImageSignatures, config: AuditConfig) -> NDArray[np.bool_]:
    """Return for each plant whether an image of it is confirmed as a copy of a photo of its person."""
    nearest = []
    for name, embeddings in train.items():
        gallery, planted = build_gallery(embeddings, config.images_per_identity), plants.sets[name].vectors
        found = gallery.rows[search(gallery, planted, 1).nearest_row]
        nearest.append(nearest_photo(planted, found, embeddings, config.images_per_identity))
    copies = find_copies(
        plants.signatures,
        photos,
        max_bits=config.copy_bits,
        min_correlation=config.copy_correlation,
        nearest=np.stack(nearest, axis=1),
    )
    people = next(iter(train.values())).identities
    named = dict(zip(copies.images.tolist(), people[copies.photos].tolist(), strict=True))
    return np.array([any(named.get(row) == plant.person for row in plant.rows) for plant in plants.plants])


def is_image(plants: Plants) -> NDArray[np.bool_]:
    """Say for each plant whether it is a single image."""
    return np.array([KINDS[plant.kind].unit == "images" for plant in plants.plants])


def _members(plant: Plant, planted: NDArray[np.float32], released: NDArray[np.float32]) -> NDArray[np.float64]:
    rows = np.concatenate([planted[list(plant.rows)], released[list(plant.filler)]])
    return rows.astype(np.float64)
