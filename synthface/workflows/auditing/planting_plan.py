"""What is planted in a copy of the release, drawn from the seed alone: of whom, which photos, into which classes."""

from dataclasses import dataclass

import numpy as np

from synthface.core.seeds import numpy_generator
from synthface.data import FaceSet
from synthface.privacy.config import AuditConfig
from synthface.privacy.plants import KINDS
from synthface.privacy.power import people_of_round

MORPHS = {kind.key: kind.strength for kind in KINDS.values() if kind.key.startswith("morph-")}
_COPIES = ("verbatim", "recompressed", "downsampled", *MORPHS, "reconstructed")
_CLASSES = ("class-20", "class-5", "class-1")
_MAX_OTHER_PHOTOS = 10  # of one person, planted as a class


@dataclass(frozen=True)
class PlannedImage:
    """An image to plant.

    Attributes:
        path: in the planted FaceSet.
        kind: key of KINDS, "other" for another photo of a person, of which several kinds are made, or "mirrored" for
            a recompressed copy without any crop.
        photo: index in the training set.
        partner: index in the set that morphs are blended with, or -1.
    """

    path: str
    kind: str
    photo: int
    partner: int = -1


@dataclass(frozen=True)
class PlannedPlant:
    """A plant made of planned images.

    Attributes:
        kind: key of KINDS.
        person: the training person it shows.
        paths: its planted images.
        filler: rows of the release that fill up its class.
        classes: how many classes the leaked share is of; see ``synthface.privacy.plants.Plant``.
    """

    kind: str
    person: str
    paths: tuple[str, ...]
    filler: tuple[int, ...] = ()
    classes: int = 1


@dataclass(frozen=True)
class Plan:
    """All images to plant, the plants made of them, and the training photos that are not searched meanwhile."""

    images: tuple[PlannedImage, ...]
    plants: tuple[PlannedPlant, ...]
    withheld: frozenset[str]


def plan_plants(
    train: FaceSet,
    synthetic: FaceSet,
    n_partners: int,
    config: AuditConfig,
    *,
    rounds: int = 1,
    reconstructed: bool = False,
) -> Plan:
    """Draw what is planted.

    Args:
        train: where the photos are taken from.
        synthetic: the release, whose classes are leaked into.
        n_partners: faces that morphs can be blended with.
        config: seed, number of plants, and photos that a person needs for a class of other photos.
        rounds: which audit of the release this is; each plants classes of other people while there are enough, and
            draws photos anew.
        reconstructed: whether there is a generator to draw training photos with.
    """
    rng = numpy_generator(config.seed, "plants", rounds)
    class_rng = numpy_generator(config.seed, "plants", rounds, "classes")
    others = _other_photos(train, config, rounds, rng)
    withheld = {row for rows in others.values() for row in rows}
    images: list[PlannedImage] = []
    plants: list[PlannedPlant] = []

    def add(kind: str, photo: int, partner: int = -1) -> str:
        images.append(PlannedImage(f"images/{len(images):06d}.png", kind, photo, partner))
        return images[-1].path

    for person, rows in others.items():
        paths = tuple(add("other", row) for row in rows)
        plants += [PlannedPlant("class-100", person, paths), PlannedPlant("other-photo", person, paths[:1])]
        plants += _leaking_classes(synthetic, person, paths, class_rng)
    searched = np.array([row for row in range(len(train)) if row not in withheld], dtype=np.int64)
    for kind in _COPIES:
        if kind == "reconstructed" and not reconstructed:
            continue
        for row in rng.permutation(searched)[: config.planted_images].tolist():
            path = add(kind, row, int(rng.integers(n_partners)) if kind in MORPHS else -1)
            plants.append(PlannedPlant(kind, train.records[row].identity, (path,)))
    return Plan(tuple(images), tuple(plants), frozenset(train.records[row].path for row in withheld))


def _other_photos(train: FaceSet, config: AuditConfig, rounds: int, rng: np.random.Generator) -> dict[str, list[int]]:
    """Return rows of up to half the photos of a round's people; the rest stay to be searched against."""
    photos: dict[str, list[int]] = {}
    for row in rng.permutation(len(train)).tolist():
        photos.setdefault(train.records[row].identity, []).append(row)
    enough = sorted(name for name in photos if len(photos[name]) >= config.planted_photos)
    drawn = [enough[k] for k in people_of_round(len(enough), config.planted_people, rounds, config.seed)]
    return {name: photos[name][: min(len(photos[name]) // 2, _MAX_OTHER_PHOTOS)] for name in drawn}


def _leaking_classes(
    synthetic: FaceSet, person: str, paths: tuple[str, ...], rng: np.random.Generator
) -> list[PlannedPlant]:
    """Put some of a person's photos into random classes, in the place of as many of their images.

    Less than one image cannot leak: 1 % of classes of 20 images is one image in five classes. Of a release with fewer
    classes than that, and of a person with fewer photos than a share takes, nothing is planted.
    """
    plants: list[PlannedPlant] = []
    for kind in _CLASSES:
        label = rng.integers(synthetic.n_identities)
        members = rng.permutation(np.flatnonzero(synthetic.labels == label)).tolist()
        wanted = KINDS[kind].strength * len(members)  # images
        n_leaked, classes = max(1, round(wanted)), max(1, round(1 / wanted))
        if n_leaked <= len(paths) and classes <= synthetic.n_identities:
            leaked = tuple(paths[k] for k in rng.permutation(len(paths))[:n_leaked])
            plants.append(PlannedPlant(kind, person, leaked, tuple(members[n_leaked:]), classes))
    return plants
