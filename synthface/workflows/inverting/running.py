"""The optimisation of an arm: group by group, each written as soon as it is finished."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthface.core.atomic import write_atomic
from synthface.data import FaceSetWriter
from synthface.data.images import decode_image, encode_png
from synthface.workflows.inverting.arms import MAIN, Arm
from synthface.workflows.progress import track

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from inversion import GroupResult, StepReport
    from inversion.targets.target_set import TargetSet
    from synthface.workflows.invert import Options

GROUPS = "groups"  # folder of what is known of finished groups, until the end
_SHOWN_SHARES = (0.0, 0.04, 0.1, 0.2, 0.35, 0.55, 0.75, 1.0)  # of the steps: much happens early
_MOST_FOLLOWED = 8  # targets whose images are kept along the way


def run_arm(arm: Arm, targets: "TargetSet", writer: FaceSetWriter, fabric: Any, options: "Options") -> None:
    """Optimise the groups that have no file yet; each process takes every so-many-th group.

    Images are written before their group's file: a group whose file stands is whole. Nothing of a finished group
    stays in memory.
    """
    from inversion import inversion_steps

    n_groups = -(-len(targets) // arm.config.group_size)
    mine = set(range(fabric.global_rank, n_groups, fabric.world_size))
    done = {group for group in mine if _group_file(writer.working, arm, group).exists()}
    steps = inversion_steps(
        arm.model,
        arm.vectors,
        arm.config,
        options.seed,
        skip=set(range(n_groups)) - (mine - done),
        compile_step=options.compile,
        half=options.half,
        extras=arm.extras,
    )
    (writer.working / GROUPS).mkdir(exist_ok=True)
    reports = track(
        steps,
        description="inverting" if arm.name == MAIN else f"inverting ({arm.name})",
        total=len(mine) * arm.config.steps,
        initial=len(done) * arm.config.steps,
        unit="step",
    )
    album = _Album(arm.config.steps)
    for report in reports:
        if arm.name == MAIN and report.group == 0:
            album.look(report)
        if report.finished is None:
            continue
        _save_images(arm, report.finished, targets, writer, options.seed)
        if arm.name == MAIN and report.group == 0:
            write_atomic(writer.working / GROUPS / "progress.npz", album.to_npz())
        bare = replace(report.finished, images=report.finished.images[:0].copy())
        write_atomic(_group_file(writer.working, arm, report.group), bare.to_npz())


def _group_file(working: Path, arm: Arm, group: int) -> Path:
    return working / GROUPS / f"{arm.name}-{group:06d}.npz"


def _save_images(arm: Arm, group: "GroupResult", targets: "TargetSet", writer: FaceSetWriter, seed: int) -> None:
    arm.folder(writer.working).mkdir(exist_ok=True)
    for k, image in zip(group.indices, group.images, strict=True):
        path = image_path(arm, k)
        if arm.name != MAIN:  # beside the set, not in it
            write_atomic(writer.working / path, encode_png(image))
        elif not writer.done(path):
            writer.add(path, image, identity=str(targets.identities[k]), source=str(targets.names[k]), seed=seed)


def image_path(arm: Arm, k: int) -> str:
    """Return the path of a target's image below the artefact's folder."""
    return f"{arm.name}/{k:06d}.png"


def saved_images(
    arm: Arm, root: Path, n: int, *, block: int = 256, bar: str | None = None
) -> "Iterator[NDArray[np.uint8]]":
    """Yield the first ``n`` images in blocks [b, 112, 112, 3], read back from their files, with a bar of that name."""
    starts = range(0, n, block)
    for start in starts if bar is None else track(starts, description=bar, unit="block"):
        numbers = range(start, min(start + block, n))
        yield np.stack([decode_image((root / image_path(arm, k)).read_bytes()) for k in numbers])


def read_history(arm: Arm, working: Path) -> "dict[str, NDArray[np.float32]]":
    """Return each term of the loss over the steps, [groups, steps]."""
    from inversion import GroupResult

    files = sorted((working / GROUPS).glob(f"{arm.name}-[0-9]*.npz"))
    files = [file for file in files if file.stem.rpartition("-")[0] == arm.name]
    histories = [GroupResult.from_npz(file.read_bytes()).history for file in files]
    return {name: np.stack([history[name] for history in histories]) for name in histories[0]}


def read_progress(working: Path) -> "tuple[list[int], NDArray[np.uint8]]":
    """Return the steps at which the first targets were looked at, and their images, [steps, n, 112, 112, 3]."""
    with np.load(working / GROUPS / "progress.npz", allow_pickle=False) as file:
        return file["steps"].tolist(), file["images"]


class _Album:
    """Pictures of the first targets at a few steps, copied: a view would keep its whole group."""

    def __init__(self, steps: int) -> None:
        self._wanted = {max(1, round(share * steps)) for share in _SHOWN_SHARES}
        self._pages: dict[int, NDArray[np.uint8]] = {}

    def look(self, report: "StepReport") -> None:
        """Keep the images if it is time to."""
        if report.finished is not None:
            self._pages[report.step] = report.finished.images[:_MOST_FOLLOWED].copy()
        elif report.step in self._wanted and report.images_now is not None:
            self._pages[report.step] = report.images_now()[:_MOST_FOLLOWED].copy()

    def to_npz(self) -> bytes:
        """Return the content of an ``.npz`` file."""
        stream = io.BytesIO()
        np.savez(stream, steps=np.array(list(self._pages)), images=np.stack(list(self._pages.values())))
        return stream.getvalue()
