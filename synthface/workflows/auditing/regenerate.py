"""Images of a synthetic set made again by their generator, with new seeds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from synthface.core.errors import AuditError, DataError
from synthface.core.hashing import sha256_bytes
from synthface.core.seeds import derive_seed
from synthface.data import FaceRecord
from synthface.data.images import encode_png
from synthface.workflows.compute import Compute, launch_fabric
from synthface.workflows.generating.drawing_again import check_recipes, draw_again
from synthface.workflows.progress import track


def regenerate(
    records: Sequence[FaceRecord], generator: Path, attempt: int, compute: Compute
) -> Iterator[tuple[FaceRecord, bytes]]:
    """Yield each image's new record and its PNG file.

    Class or identity code, psi, noise mode and cutoff stay; the new seed is derived from the old one and the attempt.

    Args:
        records: of the images to make again.
        generator: generator file, or the folder of a training run.
        attempt: number of the cleaning.
        compute: where to run.

    Raises:
        AuditError: another generator made the images, or their records do not say how they were made.
    """
    from gan.weights import generator_file

    file = generator_file(generator)
    try:
        check_recipes(records, file)
    except DataError as error:
        raise AuditError(str(error)) from None
    renewed = [replace(item, seed=derive_seed(cast(int, item.seed), "regenerate", attempt)) for item in records]
    drawn = draw_again(renewed, file, launch_fabric(compute).device)
    for record, image in track(drawn, description="making again", total=len(renewed)):
        content = encode_png(image)
        yield replace(record, sha256=sha256_bytes(content)), content
