"""``results.json``: every score of every arm, beside what it has to be compared with."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthface.core.run_record import to_json
from synthface.data import FaceSet
from synthface.workflows.inverting.arms import CONTROL, MAIN, Arm
from synthface.workflows.inverting.finding import FaceFinder
from synthface.workflows.inverting.grading import Grader, as_jpeg, ceiling, floor, scored, view, view_realigned
from synthface.workflows.inverting.running import saved_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synthface.workflows.inverting.targets import Chosen


def collect_results(
    arms: list[Arm],
    graders: list[Grader],
    chosen: "Chosen",
    faceset: FaceSet | None,
    working: Path,
    *,
    preset: str,
    protection: str | None,
    separation: dict[str, Any] | None,
    made_by: dict[str, Any],
    device: Any,
) -> dict[str, Any]:
    """Score the saved images of all arms, and the ceiling and the floors beside them.

    Args:
        arms: what was made; the first is the FaceSet's.
        graders: the inverted recogniser, then the judges.
        chosen: the targets.
        faceset: the photos behind the targets, if there are any.
        working: folder of the artefact.
        preset: name of the settings.
        protection: how the protection was asked for.
        separation: of people who do not exist, by recogniser.
        made_by: the run's record; its seed is that of all draws here.
        device: torch device of the detector.
    """
    seed, n = int(made_by["seed"]), len(chosen.targets)
    main, by_name = arms[0], {arm.name: arm for arm in arms}
    made = [grader.embed(saved_images(main, working, n, bar=f"score by {grader.name}")) for grader in graders]
    finder = FaceFinder(device)
    realigned = view_realigned(graders, finder, saved_images(main, working, n, block=64, bar="look for faces"), seed)
    control = by_name.get(CONTROL)
    tested = [arm for arm in arms if arm.name not in (MAIN, CONTROL)]
    photos = _photos(faceset, chosen.targets.rows)
    results = {
        "format": "synthface-inversion",
        "version": 1,
        "n_targets": n,
        "n_people": len(np.unique(chosen.targets.identities)),
        "recognizer": graders[0].name,
        "preset": preset,
        "targets": {"origin": chosen.origin, "list_sha256": chosen.targets.sha256, **chosen.facts},
        "beyond_template": list(main.extras.beyond_template),
        "thresholds": {grader.name: dict(grader.bench.thresholds) for grader in graders},
        **scored(graders, made, seed),
        "jpeg75": view(graders, lambda: map(as_jpeg, saved_images(main, working, n, bar="score as JPEG")), seed),
        "realigned": realigned,
        "control": control and view(graders, lambda: saved_images(control, working, n), seed),
        "protection": _protection(protection, tested, graders, working, n, seed),
        "ceiling": ceiling(graders, seed),
        "floor": floor(graders, made, faceset, (112, 112), seed),
        "detector": {
            "inverted": realigned and realigned["faces_found"],
            "control": control and finder.hit_rate(saved_images(control, working, n)),
            "photos": photos and finder.hit_rate(photos),
        },
        "separation": separation,
        "made_by": made_by,
    }
    plain: dict[str, Any] = to_json(results)
    return plain


def _photos(faceset: FaceSet | None, rows: "NDArray[np.int64] | None") -> "list[NDArray[np.uint8]] | None":
    if faceset is None or rows is None:
        return None
    blocks = np.array_split(rows[:1024], -(-min(len(rows), 1024) // 64))
    return [faceset.read_images(block.tolist(), 112, 112) for block in blocks]


def _protection(
    name: str | None, arms: list[Arm], graders: list[Grader], working: Path, n: int, seed: int
) -> dict[str, Any] | None:
    if name is None:
        return None
    tested = []
    for arm in arms:
        scores = view(graders, lambda arm=arm: saved_images(arm, working, n), seed)  # type: ignore[misc]
        tested.append({"strength": arm.strength, "dimensions": arm.vectors.shape[1], "folder": arm.name, **scores})
    return {"name": name, "tested": tested}


def table(results: dict[str, Any]) -> str:
    """Return the scores as lines of text."""
    from synthface.report.inversion_page import HEADINGS, realigned_note, score_rows
    from synthface.report.text_table import aligned

    text = aligned([HEADINGS, *score_rows(results)])
    note = realigned_note(results)
    return text if note is None else f"{text}{note}\n"
