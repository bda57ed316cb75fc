"""Images made once more from their records: with the same seeds to check them, with new ones to replace them."""

import functools
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import DataError
from synthface.core.hashing import sha256_file
from synthface.data import FaceRecord

if TYPE_CHECKING:
    import torch

    from gan.networks.generator import NoiseMode

_DRAWING_MODULES = (
    "networks/activation",
    "networks/generator",
    "networks/layers",
    "networks/mapping",
    "networks/resample",
    "networks/synthesis",
    "sampling/frozen_synthesis",
    "sampling/images",
    "sampling/side_by_side",
    "sampling/winograd",
)


def drawing_facts(device: object) -> dict[str, str]:
    """Return what decides an image's last digits beside versions and processor, to be kept with a set.

    Args:
        device: where it is drawn.
    """
    return {"device": str(device), "code": _code_hash()}


@functools.cache
def _code_hash() -> str:
    """Return a hash of the modules that draw; asked for once, as an editor may change the files meanwhile."""
    from importlib.resources import files

    digest = hashlib.sha256()
    for name in _DRAWING_MODULES:
        digest.update(files("gan").joinpath(f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


def drawn_with(faceset_info: dict[str, Any]) -> dict[str, str]:
    """Return versions, processor, device and code that drew a FaceSet, as far as its faceset.json says."""
    return {**faceset_info["made_by"].get("versions", {}), **faceset_info.get("drawn_with", {})}


def check_recipes(records: Iterable[FaceRecord], file: Path) -> None:
    """Refuse records from which the generator in ``file`` cannot make the images.

    Raises:
        DataError: another generator made one, or its record does not say how it was made.
    """
    digest = sha256_file(file)
    for record in records:
        if record.generator is None:
            raise DataError(f"{record.path} was made by no generator, as far as its record says")
        if record.generator != digest:
            raise DataError(
                f"--generator {file} ({digest[:12]}) did not make {record.path} "
                f"(made by {record.generator[:12]}); give the generator that made the set"
            )
        if record.seed is None or record.psi is None or record.noise_mode is None:
            raise DataError(f"{record.path} has no seed, psi or noise mode in the manifest, so it cannot be made again")


def draw_again(
    records: Sequence[FaceRecord], file: Path, device: "torch.device | str" = "cpu"
) -> Iterator[tuple[FaceRecord, NDArray[np.uint8]]]:
    """Yield each record with the image that it describes, [H, W, 3] uint8.

    Records of one psi, noise mode and cutoff come together, in their order; an image depends on its own record alone.

    Args:
        records: of the images to make; ``check_recipes`` has passed them.
        file: the generator.
        device: where to compute.
    """
    from gan.sampling.images import ImageRequest, draw_images
    from gan.weights import load_generator

    G = load_generator(file, device=device)
    settings = dict.fromkeys((record.psi, record.noise_mode, record.cutoff) for record in records)
    for psi, noise_mode, cutoff in settings:
        requests = (
            ImageRequest(seed=cast(int, record.seed), code=_code(record), key=record)
            for record in records
            if (record.psi, record.noise_mode, record.cutoff) == (psi, noise_mode, cutoff)
        )
        mode = cast("NoiseMode", noise_mode)
        drawn = draw_images(G, requests, psi=cast(float, psi), noise_mode=mode, cutoff=cutoff)
        yield from ((request.key, image) for request, image in drawn)


def _code(record: FaceRecord) -> dict[int, float]:
    if record.code is not None:
        return dict(zip(map(int, record.code["classes"]), map(float, record.code["weights"]), strict=True))
    return {} if record.class_index is None else {record.class_index: 1.0}
