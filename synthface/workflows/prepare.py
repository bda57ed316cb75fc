"""Photos to a FaceSet: every face found, aligned to the ArcFace 112x112 template and listed with its person.

A SOURCE is a folder with a folder per person, a folder of photos, a tar archive of either (compressed or not), or a
set that labels its images itself: InsightFace RecordIO (train.rec) or parquet, the file or its folder. The same name or
label in two SOURCEs is the same person. What has no face or cannot be read is listed with its reason in
OUT/left_out.jsonl. A run that was stopped goes on where it stopped when the command is repeated; the result does not
depend on how often, nor on --devices.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthface.core.errors import ConfigError, DataError
from synthface.workflows.compute import Compute, is_first_process, launch_fabric
from synthface.workflows.progress import track

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synthface.data import FaceSet, FaceSetWriter
    from synthface.data.cropping import Crop
    from synthface.data.photo_plan import PlannedPhoto
    from synthface.data.sources import SourceFile

    Cropper = Callable[[Sequence[NDArray[np.uint8]]], Sequence[Crop | DataError]]

EXAMPLES = """
synthface prepare photos --out faces
synthface prepare shard-*.tar --out faces --devices 2
synthface prepare aligned --out faces --detector none
synthface prepare train.rec --out faces
synthface prepare set-by-others --out set --kind synthetic
"""

logger = logging.getLogger(__name__)

_UNIT = 64  # photos that are always searched together: batches are then the same for any number of processes
_MAX_PIXELS = 24_000_000  # decoded at once, unless a single photo has more


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """What to prepare, and how faces are found.

    Args:
        source: folders, tar archives, RecordIO and parquet.
        out: folder of the new FaceSet.
        detector: mtcnn finds and aligns faces; none takes square images as aligned already.
        face: which face of several is the photo's person: the central one (its size weighed by how near it is to
            the middle), or the largest.
        min_face: smallest face looked for, as a share of the photo's shorter side (never below 20 pixels).
        flat_identity: who a photo shows that is in no person's folder: its stem (each photo another person), the
            stem's prefix before a closing number (Ann_0001 is Ann), or its source's name.
        kind: what the images are: photos, or a synthetic set by others that is not aligned yet.
    """

    source: list[Path] = field(metadata={"positional": True})
    out: Path
    detector: Literal["mtcnn", "none"] = "mtcnn"
    face: Literal["central", "largest"] = "central"
    min_face: float = 0.1
    flat_identity: Literal["stem", "prefix", "source"] = "stem"
    kind: Literal["real", "synthetic"] = "real"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.01 <= self.min_face <= 1:
            raise ConfigError(
                f"--min-face {self.min_face:g} is not in 0.01 to 1: it is a share of the photo's shorter side"
            )


def run(options: Options) -> int:
    """Prepare the sources and print what became of them."""
    from synthface.data.photo_plan import plan_photos
    from synthface.data.sources import list_source

    listings = [list_source(source) for source in options.source]
    plan = plan_photos([file for listing in listings for file in listing], options.flat_identity)
    if not plan:
        raise DataError(f"{', '.join(map(str, options.source))}: no file in it")
    if options.flat_identity == "stem" and is_first_process() and _is_flat(plan):
        logger.warning(
            "no photo is in a person's folder, so each counts as another person; if they are called NAME_0001, add "
            "--flat-identity prefix"
        )
    record = _record(options, listings)
    fabric = launch_fabric(options)
    with _open_writer(options, record, fabric.global_rank) as writer:
        fabric.barrier()  # no process writes before all have read what earlier runs left
        if not writer.is_complete:
            _prepare_share(options, plan, writer, fabric)
        fabric.barrier()
        if fabric.is_global_zero:
            _report(writer.finish(), len(plan))
    return 0


def _is_flat(plan: Sequence["PlannedPhoto"]) -> bool:
    return len(plan) > 1 and not any(photo.file.identity or "/" in photo.file.name for photo in plan)


def _open_writer(options: Options, record: dict[str, Any], rank: int) -> "FaceSetWriter":
    from synthface.data import FaceSetWriter

    return FaceSetWriter(options.out, kind=options.kind, record=record, rank=rank)


def _record(options: Options, listings: Sequence[Sequence["SourceFile"]]) -> dict[str, Any]:
    """Return the run record: sources by name and listing, so that the same photos elsewhere give the same bytes."""
    from synthface.core.hashing import sha256_json
    from synthface.core.run_record import run_record

    config: dict[str, Any] = {"detector": options.detector, "flat_identity": options.flat_identity}
    inputs = {
        f"{k} {source.resolve().name} (names and sizes)": sha256_json([file.fingerprint for file in listing])
        for k, (source, listing) in enumerate(zip(options.source, listings, strict=True))
    }
    if options.detector == "mtcnn":
        from synthface.data.detection.weights import CONVERTED_SHA256, load_cascade

        load_cascade()  # missing weights are found out here, before any process is started
        config |= {"face": options.face, "min_face": options.min_face}
        inputs["detector weights"] = CONVERTED_SHA256
    return run_record("prepare", config, inputs=inputs)


def _prepare_share(options: Options, plan: Sequence["PlannedPhoto"], writer: "FaceSetWriter", fabric: Any) -> None:
    """Go through this process's units: every n-th, whatever an earlier run has done of them."""
    import torch

    units = [plan[start : start + _UNIT] for start in range(0, len(plan), _UNIT)]
    share = units[fabric.global_rank :: fabric.world_size]
    to_do = [unit for unit in share if not all(_is_done(photo, writer) for photo in unit)]
    n_photos = sum(map(len, share))
    n_to_do = sum(map(len, to_do))
    # One thread: sums then do not depend on how many processes share the machine. More speed: --devices.
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        outcomes = _outcomes(to_do, _cropper(options, fabric.device))
        if fabric.is_global_zero:
            outcomes = track(outcomes, description="prepare", total=n_photos, initial=n_photos - n_to_do, unit="photo")
        for photo, outcome in outcomes:
            if not _is_done(photo, writer):
                _write(writer, photo, outcome)
    finally:
        torch.set_num_threads(n_threads)


def _is_done(photo: "PlannedPhoto", writer: "FaceSetWriter") -> bool:
    return writer.done(photo.path) or writer.is_left_out(photo.label)


def _write(writer: "FaceSetWriter", photo: "PlannedPhoto", outcome: "Crop | DataError") -> None:
    if isinstance(outcome, DataError):
        writer.leave_out(photo.label, str(outcome))
        return
    writer.add(
        photo.path,
        outcome.image,
        identity=photo.identity,
        source=photo.label,
        alignment=outcome.alignment,
        landmarks=outcome.landmarks,
        quality=outcome.quality,
    )


def _cropper(options: Options, device: Any) -> "Cropper":
    if options.detector == "none":
        from synthface.data.cropping import crop_given

        return lambda photos: [_outcome_of(crop_given, photo) for photo in photos]
    from synthface.data.detection.cropper import crop_detected
    from synthface.data.detection.mtcnn import DetectorConfig, FaceDetector

    detector = FaceDetector(DetectorConfig(min_face=options.min_face), device=device)
    return lambda photos: crop_detected(detector, photos, options.face)


def _outcomes(
    units: Sequence[Sequence["PlannedPhoto"]], crop: "Cropper"
) -> Iterator[tuple["PlannedPhoto", "Crop | DataError"]]:
    """Yield every photo of the units with its face or the reason why it has none."""
    from synthface.data.images import decode_image
    from synthface.data.sources import read_files

    contents = read_files(photo.file for unit in units for photo in unit)
    for unit in units:
        waiting: list[PlannedPhoto] = []
        images: list[NDArray[np.uint8]] = []
        for photo, (_, content) in zip(unit, contents, strict=False):
            image = content if isinstance(content, DataError) else _outcome_of(decode_image, content)
            if isinstance(image, DataError):
                yield photo, image
                continue
            waiting.append(photo)
            images.append(image)
            if sum(image.shape[0] * image.shape[1] for image in images) > _MAX_PIXELS:
                yield from zip(waiting, crop(images), strict=True)
                waiting, images = [], []
        if images:
            yield from zip(waiting, crop(images), strict=True)


def _outcome_of(step: Callable[[Any], Any], item: Any) -> Any:
    """Return what a step makes of an item, or its refusal as a value."""
    try:
        return step(item)
    except DataError as error:
        return error


def _report(faceset: "FaceSet", n_files: int) -> None:
    import json

    from synthface.data.faceset import LEFT_OUT

    info = faceset.info
    print(f"{info['n_images']:,} faces of {info['n_identities']:,} people in {faceset.root}")
    left_out = faceset.root / LEFT_OUT  # absent where nothing was
    lines = left_out.read_text(encoding="utf-8").splitlines() if left_out.is_file() else []
    reasons = Counter(json.loads(line)["reason"] for line in lines)
    if reasons:
        print(f"{len(lines):,} of {n_files:,} files left out; each with its reason in {left_out}:")
    for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        print(f"{count:>8,}  {reason}")
    if not len(faceset):
        raise DataError(f"none of the {n_files:,} files gave a face; see {left_out}")
