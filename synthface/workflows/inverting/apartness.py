"""Whether people who do not exist are apart: to the recogniser they were packed for, and to others."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthface.data import Embeddings
from synthface.workflows.inverting.arms import Arm
from synthface.workflows.inverting.running import saved_images
from synthface.workflows.inverting.targets import distinct_threshold

if TYPE_CHECKING:
    from synthface.workflows.invert import Options
    from synthface.workflows.inverting.grading import Grader
    from synthface.workflows.inverting.targets import Chosen


def measure_apartness(
    options: "Options",
    main: Arm,
    grader: "Grader",
    chosen: "Chosen",
    galleries: dict[str, Embeddings],
    working: Path,
    device: Any,
) -> dict[str, Any]:
    """Count matches among the images, and with real ones, by recogniser; see ``inversion.scoring.separation``.

    Args:
        options: false match rate of the judges' thresholds.
        main: the images.
        grader: the inverted recogniser.
        chosen: the people, and the threshold that they were packed for.
        galleries: real photos under each judge, by its name or path.
        working: folder of the artefact.
        device: torch device of the judges.
    """
    from inversion.scoring.separation import measure_separation
    from synthface.recognition import load_recognizer
    from synthface.recognition.catalogue import find_weights

    n, people = len(chosen.targets), chosen.targets.identities
    gallery = grader.bench.gallery
    assert gallery is not None
    threshold = float(chosen.facts["threshold"])
    made = grader.embed(saved_images(main, working, n))
    found = {grader.name: {"threshold": threshold, **measure_separation(made, people, gallery.vectors, threshold)}}
    for name, real in galleries.items():
        value, _ = distinct_threshold(real, find_weights(name), options.distinct_fmr)
        judge = load_recognizer(name, device=device)
        seen = np.concatenate([judge.embed(block) for block in saved_images(main, working, n)])
        found[judge.name] = {"threshold": value, **measure_separation(seen, people, real.vectors, value)}
    return found
