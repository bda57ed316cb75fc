"""Write what can be said of every image of a FaceSet into a folder of its own: a sidecar; the set is never edited.

sidecar.jsonl has one line an image, in the manifest's order: landmarks (left and right eye, nose, mouth corners, in
pixels of the image), confidence of the detector, yaw, pitch and roll in degrees with the residual of their fit,
sharpness, contrast, similarity (the cosine with the mean of the other images of its class under a recogniser) and
the norm of its embedding before normalising, which many recognisers make larger for clearer faces.
sidecar.json holds the distributions, sidecar.html their plots. 'synthface browse' and 'synthface release' take the
folder by --sidecar. A run that was stopped goes on where it stopped.

Pose is fitted to five points of an average face under a scaled orthographic camera: good to a few degrees for turns
of the head, less for pitch, which a smile or another nose shifts. Sharpness depends on the resolution and is raised by
noise. None of these is a verdict on an image.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthface.core.errors import DataError
from synthface.workflows.compute import Compute, is_first_process, launch_fabric
from synthface.workflows.existing_results import existing_results
from synthface.workflows.progress import track

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synthface.data import FaceSet
    from synthface.workflows.describing.folder import SidecarFolder

EXAMPLES = """
synthface describe synthetic --out sidecar
synthface describe synthetic --recognizer mobilefacenet-ms1m --devices 2 --out sidecar
"""
PAGE = "sidecar.html"
_UNIT = 32  # images that are always searched together: batches are then the same for any number of processes


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface describe``.

    Args:
        faceset: FaceSet to describe.
        out: folder of the sidecar.
        recognizer: name or path of the recogniser for the similarity to the class, or none.
        detector: mtcnn finds landmarks; none leaves out landmarks, confidence and pose.
    """

    faceset: Path = field(metadata={"positional": True})
    out: Path
    recognizer: str = "synthface-small"
    detector: Literal["mtcnn", "none"] = "mtcnn"


def run(options: Options) -> None:
    """Describe every image, and sum up."""
    from synthface.data import FaceSet
    from synthface.workflows.describing.folder import SidecarFolder
    from synthface.workflows.describing.sidecar import SUMMARY

    faceset = FaceSet.load(options.faceset, flag="FACESET")
    if not len(faceset):
        raise DataError(f"{faceset.root} holds no images, so there is nothing to describe")
    record = _record(options, faceset)
    if existing_results(options.out, SUMMARY, record) is not None:
        if is_first_process():
            print(f"{len(faceset):,} images are described already: {options.out}")
        return
    likeness = _likeness(options, faceset)
    fabric = launch_fabric(options)
    with SidecarFolder(options.out, record, rank=fabric.global_rank) as folder:
        fabric.barrier()  # no process writes before all have read what earlier runs left
        for path, facts in _described(options, faceset, folder, fabric):
            folder.add(path, facts)
    fabric.barrier()
    if fabric.is_global_zero:
        scores = folder.finish(faceset, likeness)["scores"]
        found = "" if options.detector == "none" else f", {scores['yaw']['n']:,} of them with landmarks"
        print(f"{len(faceset):,} images described{found}: {options.out / PAGE}")


def _record(options: Options, faceset: "FaceSet") -> dict[str, Any]:
    from synthface.core.run_record import run_record

    inputs = {"faceset": faceset.manifest_sha256}
    if options.detector == "mtcnn":
        from synthface.data.detection.weights import CONVERTED_SHA256, load_cascade

        load_cascade()  # missing weights are found out here, before anything is computed
        inputs["detector weights"] = CONVERTED_SHA256
    if options.recognizer != "none":
        from synthface.recognition.catalogue import find_weights

        inputs["recogniser"] = find_weights(options.recognizer).sha256
    return run_record("describe", {"detector": options.detector, "recognizer": options.recognizer}, inputs=inputs)


def _likeness(options: Options, faceset: "FaceSet") -> "dict[str, NDArray[np.float64]]":
    """Return similarity to the class and the embedding's norm, in manifest order."""
    from synthface.metrics.class_likeness import likeness_to_class
    from synthface.workflows.embed import embed_faceset

    if options.recognizer == "none":
        return {}
    embeddings = embed_faceset(faceset, options.recognizer, compute=options)
    found = {"similarity": likeness_to_class(embeddings.vectors, faceset.labels)}
    if embeddings.norms is not None:
        found["norm"] = embeddings.norms.astype("float64")
    return found


def _described(
    options: Options, faceset: "FaceSet", folder: "SidecarFolder", fabric: Any
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield path and facts of this process's images that no earlier run has described: every n-th unit."""
    import torch

    from synthface.workflows.describing.faces import MIN_FACE, describe_images

    detector = None
    if options.detector == "mtcnn":
        from synthface.data.detection.mtcnn import DetectorConfig, FaceDetector

        detector = FaceDetector(DetectorConfig(min_face=MIN_FACE), device=fabric.device)
    units = [range(start, min(start + _UNIT, len(faceset))) for start in range(0, len(faceset), _UNIT)]
    share = units[fabric.global_rank :: fabric.world_size]
    to_do = [unit for unit in share if not all(folder.done(faceset.records[row].path) for row in unit)]
    n_share, n_to_do = sum(map(len, share)), sum(map(len, to_do))

    def facts() -> Iterator[tuple[str, dict[str, Any]]]:
        for unit in to_do:
            images = [faceset.read_image(row) for row in unit]
            for row, found in zip(unit, describe_images(images, detector), strict=True):
                if not folder.done(faceset.records[row].path):
                    yield faceset.records[row].path, found

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums then do not depend on how many processes share the machine; more speed: --devices
    try:
        yield from track(facts(), description="describe", total=n_share, initial=n_share - n_to_do)
    finally:
        torch.set_num_threads(n_threads)
