"""Pictures and pages of an inversion, from what stands in its folder."""

import importlib.resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthface.data import FaceSet
from synthface.workflows.inverting.arms import Arm
from synthface.workflows.inverting.running import read_history, read_progress, saved_images

if TYPE_CHECKING:
    from synthface.workflows.inverting.targets import Chosen

SCHEMA = "inversion.schema.json"


def write_pages(
    results: dict[str, Any], arms: list[Arm], chosen: "Chosen", faceset: FaceSet | None, folder: Path
) -> None:
    """Write the contact sheet, the progress, the curves, both pages and the schema of the results."""
    from synthface.report.inversion_figures import MOST_SHOWN
    from synthface.report.inversion_page import Pictures, write_inversion_pages

    n = min(MOST_SHOWN, len(chosen.targets))
    rows = {arm.name: next(saved_images(arm, folder, n)) for arm in arms}
    sources = None
    if faceset is not None and chosen.targets.rows is not None:
        sources = faceset.read_images(chosen.targets.rows[:n].tolist(), 112, 112)
    steps, followed = read_progress(folder)
    pictures = Pictures(
        sources=sources,
        made={name: np.asarray(images) for name, images in rows.items()},
        progress=followed,
        progress_steps=steps,
        show_real_people=chosen.shows_real_people,
        beside_real_people=faceset is None or faceset.kind != "synthetic",
    )
    history = {arm.name: read_history(arm, folder) for arm in arms}
    write_inversion_pages(folder, results, pictures, history)
    schema = importlib.resources.files("synthface.report").joinpath(SCHEMA)
    (folder / SCHEMA).write_text(schema.read_text(encoding="utf-8"), encoding="utf-8")
