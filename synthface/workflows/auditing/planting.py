"""Planted leaks, from photos to embeddings: made here as ``planting_plan`` has drawn them, found in ``privacy``.

The planted images are written to a temporary FaceSet in the cache, at the resolution of the release and as the same
kind of file, embedded like the release, and removed again. The user's set is not touched.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
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
from synthface.privacy.plants import Plant, Plants
from synthface.workflows.auditing.inputs import signatures_of
from synthface.workflows.auditing.planting_plan import MORPHS, Plan, PlannedImage

Pictures = NDArray[np.uint8]
Embed = Callable[[FaceSet], Mapping[str, Embeddings]]
Reconstruct = Callable[[Iterator[Pictures]], Iterator[Pictures]]  # photos in, what the generator draws of them out


def make_plants(
    plan: Plan,
    train: FaceSet,
    partners: FaceSet,
    side: int,
    config: AuditConfig,
    embed: Embed,
    reconstruct: Reconstruct | None = None,
) -> Plants:
    """Draw the planned images, embed them and forget them.

    Args:
        plan: what to plant.
        train: the photos.
        partners: the faces for morphs.
        side: pixels a side of the release.
        config: its seed decides crops.
        embed: embeds a FaceSet under every recogniser.
        reconstruct: draws photos by the generator, where the plan has any such image.
    """
    with tempfile.TemporaryDirectory(dir=cache_folder("plants")) as folder:
        planted = _write(plan, train, partners, side, config, reconstruct, Path(folder) / "planted")
        sets = dict(embed(planted))
        signatures = signatures_of(planted, cached=False)
    row_of = {record.path: row for row, record in enumerate(planted.records)}
    plants = tuple(
        Plant(item.kind, item.person, tuple(row_of[path] for path in item.paths), item.filler, item.classes)
        for item in plan.plants
    )
    return Plants(sets, signatures, plants, plan.withheld)


def _write(
    plan: Plan,
    train: FaceSet,
    partners: FaceSet,
    side: int,
    config: AuditConfig,
    reconstruct: Reconstruct | None,
    out: Path,
) -> FaceSet:
    record = run_record("plants", {"side": side}, seed=config.seed, inputs={"train": train.manifest_sha256})
    redrawn = [item for item in plan.images if item.kind == "reconstructed"]
    photos = (train.read_image(item.photo) for item in redrawn)
    images = reconstruct(photos) if redrawn and reconstruct is not None else iter(())
    with FaceSetWriter(out, kind="real", record=record) as writer:
        for item in plan.images:
            if item.kind == "reconstructed":
                image = next(images)
            else:
                image = draw_plant(item, train.read_image(item.photo), partners, config)
            source = train.records[item.photo]
            writer.add(item.path, resize_image(image, side, side), identity=source.identity, source=source.path)
        return writer.finish()


def draw_plant(item: PlannedImage, photo: Pictures, partners: FaceSet, config: AuditConfig) -> Pictures:
    """Return the planted image at the size of the photo."""
    if item.kind in ("recompressed", "mirrored"):
        rng = numpy_generator(config.seed, "plant", item.path)
        return recompressed(photo, rng) if item.kind == "recompressed" else recompressed(photo, rng, max_crop=0)
    if item.kind == "downsampled":
        return downsampled(photo)
    if item.kind in MORPHS:
        return morph(photo, partners.read_image(item.partner), MORPHS[item.kind])
    return photo
