"""What a recogniser is trained on: a FaceSet, another format read as it is, or several sets together."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synthface.core.cache_folder import cache_folder
from synthface.core.errors import DataError
from synthface.core.hashing import sha256_json
from synthface.data import FaceSet, FaceSetWriter
from synthface.data.faceset import INFO
from synthface.workflows.compute import is_first_process
from synthface.workflows.progress import track

if TYPE_CHECKING:
    from synthface.data.formats import Source


def open_training_set(path: Path, *, flag: str) -> FaceSet:
    """Return a FaceSet, made in the cache where the path is of another format that ``synthface convert`` reads.

    Its name there is the hash of its images, so a source that has changed is read anew.

    Raises:
        DataError: nothing that can be read, or no image in it.
    """
    if (path / INFO).exists() or not path.exists():
        return FaceSet.load(path, flag=flag)
    from synthface.data.formats import ContentSum, open_source

    source = open_source(path)
    total = ContentSum()
    for item in track(source.items(), description=f"read {path.name}"):
        total.add(item)
    if not total.n_images:
        raise DataError(f"{flag} {path} holds no image")
    folder = cache_folder("training") / total.sha256[:32]
    _once(folder, lambda: _keep(source, folder, total.n_images))
    return FaceSet.load(folder, flag=flag)


def _keep(source: "Source", folder: Path, n_images: int) -> None:
    from synthface.data.formats.facesets import FaceSetSink

    sink = FaceSetSink(folder, kind=source.kind or "real", record={"command": "train-recognizer", "inputs": {}})
    try:
        for item in track(source.items(), description="decode once", total=n_images):
            sink.add(item)
        sink.finish()
    finally:
        sink.close()


def together(facesets: Sequence[FaceSet]) -> FaceSet:
    """Return several FaceSets as one, of hard links in the cache; the same name in two of them is two people.

    Images of set k lie below ``images/k/``, and its people are called ``k/NAME``.
    """
    if len(facesets) == 1:
        return facesets[0]
    inputs = {str(k): faces.manifest_sha256 for k, faces in enumerate(facesets)}
    folder = cache_folder("training") / sha256_json(inputs)[:32]
    _once(folder, lambda: _link(facesets, folder, inputs))
    return FaceSet.load(folder)


def _once(folder: Path, make: Callable[[], None]) -> None:
    """Let the first of several processes make a folder, and the others wait for it."""
    if not folder.exists() and is_first_process():
        folder.parent.mkdir(parents=True, exist_ok=True)
        make()
    while not folder.exists():
        time.sleep(1)


def _link(facesets: Sequence[FaceSet], folder: Path, inputs: dict[str, str]) -> None:
    kind = facesets[0].kind if len({faces.kind for faces in facesets}) == 1 else "real"
    with FaceSetWriter(folder, kind=kind, record={"command": "train-recognizer", "inputs": inputs}) as writer:
        for k, faces in enumerate(facesets):
            for item in faces.records:
                path = f"images/{k}/{item.path.removeprefix('images/')}"
                if not writer.done(path):
                    named = replace(item, path=path, identity=f"{k}/{item.identity}")
                    writer.add_file(named, faces.root / item.path)
        writer.finish()


def parts_of(faceset: FaceSet) -> NDArray[np.int64]:
    """Return for each image of ``together`` the number of the set it came from."""
    return np.array([int(record.path.split("/")[1]) for record in faceset.records], dtype=np.int64)
