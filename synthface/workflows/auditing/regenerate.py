"""Images of a synthetic set made again by their generator, with new seeds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from synthface.core.errors import AuditError
from synthface.core.hashing import sha256_bytes, sha256_file
from synthface.core.seeds import derive_seed
from synthface.data import FaceRecord
from synthface.data.images import encode_png
from synthface.workflows.compute import Compute, launch_fabric
from synthface.workflows.progress import track


def regenerate(
    records: Sequence[FaceRecord], generator: Path, attempt: int, compute: Compute
) -> Iterator[tuple[FaceRecord, bytes]]:
    """Yield each image's new record and its PNG file.

    Class or identity code, psi and noise mode stay; the new seed is derived from the old one and the attempt.

    Args:
        records: of the images to make again.
        generator: generator file, or the folder of a training run.
        attempt: number of the cleaning.
        compute: where to run.

    Raises:
        AuditError: another generator made the images, or their records do not say how they were made.
    """
    from gan.generator import NoiseMode
    from gan.sampling import ImageRequest, draw_images
    from gan.weights import generator_file, load_generator

    file = generator_file(generator)
    digest = sha256_file(file)
    requests: dict[tuple[float, str], list[ImageRequest]] = {}
    for record in records:
        if record.generator != digest:
            raise AuditError(
                f"--generator {file} ({digest[:12]}) did not make {record.path} "
                f"(made by {str(record.generator)[:12]}); give the generator that made the set"
            )
        if record.seed is None or record.psi is None or record.noise_mode is None:
            raise AuditError(
                f"{record.path} has no seed, psi or noise mode in the manifest, so it cannot be made again"
            )
        new = replace(record, seed=derive_seed(record.seed, "regenerate", attempt))
        request = ImageRequest(seed=cast(int, new.seed), code=_code(record), key=new)
        requests.setdefault((record.psi, record.noise_mode), []).append(request)
    G = load_generator(file, device=launch_fabric(compute).device)
    for (psi, noise_mode), batch in requests.items():
        drawn = draw_images(G, batch, psi=psi, noise_mode=cast(NoiseMode, noise_mode))
        for item, image in track(drawn, description="making again", total=len(batch)):
            content = encode_png(image)
            yield replace(item.key, sha256=sha256_bytes(content)), content


def _code(record: FaceRecord) -> dict[int, float]:
    if record.code is not None:
        return dict(zip(map(int, record.code["classes"]), map(float, record.code["weights"]), strict=True))
    return {} if record.class_index is None else {record.class_index: 1.0}
