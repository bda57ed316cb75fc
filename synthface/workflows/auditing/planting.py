"""Planted leaks, from photos to embeddings: what is planted is drawn here, and found (or not) in ``privacy.plants``.

The planted images are written to a temporary FaceSet in the cache, at the resolution of the release and as the same
kind of file, embedded like the release, and removed again. The user's set is not touched.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface.core.cache_folder import cache_folder
from synthface.core.run_record import run_record
from synthface.core.seeds import numpy_generator
from synthface.data import Embeddings, FaceSet, FaceSetWriter
from synthface.data.images import resize_image
from synthface.data.planting import downsampled, morph, recompressed
from synthface.privacy.config import AuditConfig
from synthface.privacy.plants import KINDS, Plant, Plants
from synthface.workflows.auditing.inputs import signatures_of

_MAX_OTHER_PHOTOS = 10  # of one person, planted as a class
_MORPHS = {kind.key: kind.strength for kind in KINDS.values() if kind.key.startswith("morph-")}
_COPIES = ("verbatim", "recompressed", "downsampled", *_MORPHS)
_CLASSES = ("class-20", "class-5", "class-1")

Embed = Callable[[FaceSet], Mapping[str, Embeddings]]


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


PlannedPlant = tuple[str, str, tuple[str, ...], tuple[int, ...]]  # kind, person, planted paths, synthetic rows


@dataclass(frozen=True)
class Plan:
    """All images to plant, the plants made of them, and the training photos that are not searched meanwhile."""

    images: tuple[PlannedImage, ...]
    plants: tuple[PlannedPlant, ...]
    withheld: frozenset[str]


def plan_plants(train: FaceSet, synthetic: FaceSet, n_partners: int, config: AuditConfig, *, rounds: int = 1) -> Plan:
    """Draw what is planted, from the seed alone.

    Args:
        train: where the photos are taken from.
        synthetic: the release, whose classes are leaked into.
        n_partners: faces that morphs can be blended with.
        config: seed, number of plants, and photos that a person needs for a class of other photos.
        rounds: which audit of the release this is; each gets fresh plants.
    """
    rng = numpy_generator(config.seed, "plants", rounds)
    photos_of = _photos_of(train, rng)
    ranked = sorted((name for name in photos_of if len(photos_of[name]) >= config.planted_photos),
                    key=lambda name: -len(photos_of[name]))  # fmt: skip
    others = {
        name: photos_of[name][: min(len(photos_of[name]) // 2, _MAX_OTHER_PHOTOS)]
        for name in ranked[: config.planted_people]
    }
    withheld = {row for rows in others.values() for row in rows}
    images: list[PlannedImage] = []
    plants: list[PlannedPlant] = []
    for name, rows in others.items():
        paths = []
        for row in rows:
            paths.append(f"images/{len(images):06d}.png")
            images.append(PlannedImage(paths[-1], "other", row))
        plants += [("class-100", name, tuple(paths), ()), ("other-photo", name, (paths[0],), ())]
        plants += _leaking_classes(synthetic, name, paths, rng)
    searched = np.array([row for row in range(len(train)) if row not in withheld], dtype=np.int64)
    for kind in _COPIES:
        for row in rng.permutation(searched)[: config.planted_images].tolist():
            partner = int(rng.integers(n_partners)) if kind in _MORPHS else -1
            images.append(PlannedImage(f"images/{len(images):06d}.png", kind, row, partner))
            plants.append((kind, train.records[row].identity, (images[-1].path,), ()))
    return Plan(tuple(images), tuple(plants), frozenset(train.records[row].path for row in withheld))


def _photos_of(faceset: FaceSet, rng: np.random.Generator) -> dict[str, list[int]]:
    """Return the rows of each identity, both people and photos in random order."""
    photos: dict[str, list[int]] = {}
    for row in rng.permutation(len(faceset)).tolist():
        photos.setdefault(faceset.records[row].identity, []).append(row)
    return photos


def _leaking_classes(synthetic: FaceSet, person: str, paths: list[str], rng: np.random.Generator) -> list[PlannedPlant]:
    """Put some of a person's photos into a random class, in the place of as many of its images."""
    members = rng.permutation(np.flatnonzero(synthetic.labels == rng.integers(len(synthetic.identities)))).tolist()
    plants: list[PlannedPlant] = []
    for kind in _CLASSES:
        n_leaked = round(KINDS[kind].strength * len(members))
        if 1 <= n_leaked <= len(paths):  # 1 % of a class of 20 is no image at all
            plants.append((kind, person, tuple(paths[:n_leaked]), tuple(members[n_leaked:])))
    return plants


def make_plants(plan: Plan, train: FaceSet, partners: FaceSet, side: int, config: AuditConfig, embed: Embed) -> Plants:
    """Draw the planned images, embed them and forget them.

    Args:
        plan: what to plant.
        train: the photos.
        partners: the faces for morphs.
        side: pixels a side of the release.
        config: its seed decides crops.
        embed: embeds a FaceSet under every recogniser.
    """
    with tempfile.TemporaryDirectory(dir=cache_folder("plants")) as folder:
        planted = _write(plan, train, partners, side, config, Path(folder) / "planted")
        sets = dict(embed(planted))
        signatures = signatures_of(planted, cached=False)
    row_of = {record.path: row for row, record in enumerate(planted.records)}
    plants = tuple(
        Plant(kind, person, tuple(row_of[path] for path in paths), filler)
        for kind, person, paths, filler in plan.plants
    )
    return Plants(sets, signatures, plants, plan.withheld)


def _write(plan: Plan, train: FaceSet, partners: FaceSet, side: int, config: AuditConfig, out: Path) -> FaceSet:
    record = run_record("plants", {"side": side}, seed=config.seed, inputs={"train": train.manifest_sha256})
    with FaceSetWriter(out, kind="real", record=record) as writer:
        for item in plan.images:
            image = draw_plant(item, train.read_image(item.photo), partners, config)
            source = train.records[item.photo]
            writer.add(item.path, resize_image(image, side, side), identity=source.identity, source=source.path)
        return writer.finish()


def draw_plant(
    item: PlannedImage, photo: NDArray[np.uint8], partners: FaceSet, config: AuditConfig
) -> NDArray[np.uint8]:
    """Return the planted image at the size of the photo."""
    if item.kind in ("recompressed", "mirrored"):
        rng = numpy_generator(config.seed, "plant", item.path)
        return recompressed(photo, rng) if item.kind == "recompressed" else recompressed(photo, rng, max_crop=0)
    if item.kind == "downsampled":
        return downsampled(photo)
    if item.kind in _MORPHS:
        return morph(photo, partners.read_image(item.partner), _MORPHS[item.kind])
    return photo
