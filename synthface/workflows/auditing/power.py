"""How much the audit would find: leaks planted in a copy of the release, and a search for them that knows nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthface.core.errors import AuditError, DataError
from synthface.privacy.config import AuditConfig
from synthface.privacy.plants import PlantOutcome
from synthface.privacy.signatures import ImageSignatures
from synthface.workflows.auditing.inputs import FaceSets, Sets, release_side
from synthface.workflows.auditing.planting import Embed, Reconstruct


def plant_leaks(
    facesets: FaceSets,
    sets: Sets,
    signatures: Mapping[str, ImageSignatures],
    config: AuditConfig,
    embed: Embed,
    *,
    rounds: int = 1,
    reconstruct: Reconstruct | None = None,
) -> tuple[PlantOutcome, ...]:
    """Plant leaks and search for them; nothing without training set and hold-out.

    Args:
        facesets: by role.
        sets: their embeddings.
        signatures: of their images.
        config: the limits.
        embed: embeds the planted images under every recogniser.
        rounds: which audit of the release this is; each plants other people while there are any.
        reconstruct: draws training photos by the generator of the release, to plant these too.
    """
    if not {"train", "holdout"} <= set(sets):
        return ()
    from synthface.privacy.plant_search import search_plants
    from synthface.workflows.auditing.planting import make_plants
    from synthface.workflows.auditing.planting_plan import plan_plants

    synthetic, train = facesets["synthetic"], facesets["train"]
    partners = facesets.get("placebo", synthetic)
    plan = plan_plants(
        train, synthetic, len(partners), config, rounds=rounds, reconstructed=reconstruct is not None
    )  # fmt: skip
    plants = make_plants(plan, train, partners, release_side(synthetic), config, embed, reconstruct)
    return search_plants(plants, sets["synthetic"], sets["train"], sets["holdout"], signatures["train"], config)


def check_generator(facesets: FaceSets, generator: Path | None) -> None:
    """Refuse a generator that did not make the release.

    Raises:
        AuditError: it made none of the images, or not all.
    """
    if generator is None:
        return
    from gan.weights import generator_file
    from synthface.workflows.generating.drawing_again import check_recipes

    try:
        check_recipes(facesets["synthetic"].records, generator_file(generator))
    except DataError as error:
        raise AuditError(str(error)) from None


def reconstruct_by(generator: Path | None, fabric: Any) -> Reconstruct | None:
    """Return what draws photos by a generator; of several processes the first one draws for all."""
    if generator is None:
        return None
    from gan.weights import load_generator
    from synthface.workflows.auditing.reconstructing import reconstruct

    if fabric is None:
        return lambda photos: reconstruct(photos, load_generator(generator), "cpu")

    def by_the_first(photos: Any) -> Any:
        device = fabric.device
        drawn = list(reconstruct(photos, load_generator(generator, device), device)) if fabric.is_global_zero else None
        return iter(fabric.broadcast(drawn))

    return by_the_first
