"""Turn the faces of a FaceSet into unit embeddings under a recogniser.

The .npz file holds vectors, norms, identities, image names and what made it. The result depends on the images and
the recogniser alone, not on the number of processes, and is cached: asking again is instant, and an interrupted run
goes on where it stopped.
"""

import logging
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthface.core.atomic import partial_path
from synthface.core.cache_folder import cache_folder
from synthface.core.errors import ConfigError, DataError
from synthface.core.hashing import sha256_json
from synthface.data import Embeddings, FaceSet
from synthface.workflows.compute import Compute, is_first_process, launch_fabric
from synthface.workflows.progress import track

EXAMPLES = """
synthface embed faces --recognizer mobilefacenet-ms1m --out faces.npz
synthface embed synthetic --recognizer runs/recogniser --flip --devices 2 --out synthetic.npz
synthface embed many --recognizer mobilefacenet-ms1m --half --out many.npz
"""

logger = logging.getLogger(__name__)

_CACHE_VERSION = 1  # raise when the arithmetic of embedding changes


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface embed``.

    Args:
        faceset: FaceSet to embed.
        recognizer: name (mobilefacenet-ms1m, mobilefacenet-casia, synthface-student, synthface-small) or path
            of the recogniser.
        out: the .npz file to write.
        flip: add the embedding of each image's mirror before normalising.
        via_size: first downsize each image to this many pixels a side.
        half: compute the network in bfloat16: quicker on CPUs that have it, cosines of .999 to the exact result.
    """

    faceset: Path = field(metadata={"positional": True})
    recognizer: str
    out: Path
    flip: bool = False
    via_size: int | None = None
    half: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out.suffix != ".npz":
            raise ConfigError(f"--out {self.out}: give a file name that ends in .npz")
        if self.via_size is not None and self.via_size < 8:
            raise ConfigError(f"--via-size {self.via_size}: give at least 8 pixels")


def run(options: Options) -> int:
    """Embed and write the file."""
    faceset = FaceSet.load(options.faceset)
    if options.out.exists():
        _check_made(options, faceset)
        return 0
    embeddings = embed_faceset(
        faceset,
        options.recognizer,
        compute=options,
        flip=options.flip,
        via_size=options.via_size,
        half=options.half,
    )
    if not is_first_process():
        return 0
    options.out.parent.mkdir(parents=True, exist_ok=True)
    embeddings.save(options.out)
    logger.info(
        "%s: %d embeddings of %d numbers, %d identities",
        options.out,
        len(embeddings),
        embeddings.vectors.shape[1],
        faceset.n_identities,
    )
    return 0


def _check_made(options: Options, faceset: FaceSet) -> None:
    """See that the file that stands at --out is the one asked for.

    Raises:
        ConfigError: it is not.
    """
    from synthface.recognition.catalogue import find_weights

    weights = find_weights(options.recognizer)
    wanted = _made_from(
        faceset, weights.name, weights.sha256, flip=options.flip, via_size=options.via_size, half=options.half
    )
    try:
        made = Embeddings.load(options.out, flag="--out").info
    except DataError:
        made = {}
    if {**made, "recognizer": None} != {**wanted, "recognizer": None}:  # its hash tells, its name may change
        raise ConfigError(
            f"--out {options.out} already exists and holds something else; give another path or remove it"
        )
    logger.info("%s is already complete: nothing to do", options.out)


def _made_from(
    faceset: FaceSet, recognizer: str, sha256: str, *, flip: bool, via_size: int | None, half: bool
) -> dict[str, Any]:
    """Return what decides the embeddings, as their file holds it."""
    return {
        "recognizer": recognizer,
        "recognizer_sha256": sha256,
        "faceset_manifest_sha256": faceset.manifest_sha256,
        "flip": flip,
        "via_size": via_size,
        **({"half": True} if half else {}),  # without it a result is named as it was before there was a choice
    }


def embed_faceset(
    faceset: FaceSet,
    recognizer: str,
    *,
    compute: Compute | None = None,
    flip: bool = False,
    via_size: int | None = None,
    half: bool = False,
) -> Embeddings:
    """Return the embeddings of a FaceSet in manifest order, from the cache where they are known.

    Args:
        faceset: what to embed.
        recognizer: name or path of the recogniser.
        compute: devices and processes to use; one CPU process by default.
        flip: add the embedding of each image's mirror before normalising.
        via_size: first downsize each image to this many pixels a side, to match a release's resolution.
        half: compute the network in bfloat16, where autocast does.
    """
    from synthface.recognition.catalogue import find_weights

    if not len(faceset):
        raise DataError(f"{faceset.root} holds no images, so there is nothing to embed")
    weights = find_weights(recognizer)
    info = _made_from(faceset, weights.name, weights.sha256, flip=flip, via_size=via_size, half=half)
    key = sha256_json({**info, "recognizer": None, "version": _CACHE_VERSION})
    path = cache_folder("embeddings") / f"{key[:32]}.npz"
    if not path.exists():
        _embed_to(path, faceset, recognizer, compute or Compute(), info)
    cached = Embeddings.load(path)
    return Embeddings(cached.vectors, cached.identities, cached.images, cached.norms, info)


def _embed_to(path: Path, faceset: FaceSet, recognizer: str, compute: Compute, info: dict[str, Any]) -> None:
    fabric = launch_fabric(compute)
    from synthface.recognition.chunked_embedding import CHUNK_IMAGES, ChunkedEmbedding
    from synthface.recognition.recognizer import load_recognizer

    network = load_recognizer(recognizer).to(fabric.device)
    folder = partial_path(path)
    how = {key: info[key] for key in ("flip", "via_size", "half") if key in info}
    job = ChunkedEmbedding(faceset, network, folder, **how)
    starts = job.missing(rank=fabric.global_rank, world_size=fabric.world_size)
    total = sum(min(CHUNK_IMAGES, len(faceset) - start) for start in starts)
    began = time.perf_counter()
    for _ in track(job.compute(starts), description=f"embed with {info['recognizer']}", total=total):
        pass
    seconds = time.perf_counter() - began
    logger.info("%s: %d images embedded, %.0f images/s", info["recognizer"], total, total / max(seconds, 1e-9))
    fabric.barrier()
    if fabric.is_global_zero:
        vectors, norms = job.collect()
        identities = [record.identity for record in faceset.records]
        images = [record.path for record in faceset.records]
        Embeddings(vectors, identities, images, norms, info).save(path)  # type: ignore[arg-type]
        shutil.rmtree(folder)
    fabric.barrier()
