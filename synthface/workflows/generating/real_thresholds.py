"""The score at which a recogniser takes two real people for one at a stated FMR: measured, or from the shipped table.

Two photos of different people are compared, one a person. Measured on generated people instead, the threshold would
rise with their likeness and every set would come out as distinct.
"""

import json
import math
from typing import TYPE_CHECKING

import numpy as np

from synthface.core.errors import ConfigError, DataError
from synthface.core.seeds import numpy_generator
from synthface.metrics.verification import threshold_at_fmr
from synthface.models import THRESHOLDS, shipped_model

if TYPE_CHECKING:
    from synthface.data import FaceSet

MAX_PEOPLE = 6000  # 18 million pairs; beyond it people are drawn at random
LEAST_FALSE_MATCHES = 10  # a rate that rests on fewer is not measured


def measured_thresholds(
    faceset: "FaceSet", recognizer: str, fmrs: list[float], *, via_size: int | None
) -> dict[float, float]:
    """Return the threshold of each FMR, from the first photo of each person of a FaceSet of real people.

    Args:
        faceset: real people, best none that the recogniser was trained on.
        recognizer: name or file.
        fmrs: false match rates.
        via_size: bring the photos to this resolution first.

    Raises:
        DataError: too few people for the smallest of the rates.
    """
    from synthface.workflows.embed import embed_faceset

    embeddings = embed_faceset(faceset, recognizer, via_size=via_size)
    first = np.unique(faceset.labels, return_index=True)[1]
    if len(first) > MAX_PEOPLE:
        first = np.sort(numpy_generator(0, "people for thresholds").choice(first, MAX_PEOPLE, replace=False))
    n_pairs = len(first) * (len(first) - 1) // 2
    if min(fmrs) * n_pairs < LEAST_FALSE_MATCHES:
        raise DataError(
            f"{faceset.root} has {len(first)} people, {n_pairs:,} pairs: too few for an FMR of {min(fmrs):g}; "
            f"{math.ceil(math.sqrt(2 * LEAST_FALSE_MATCHES / min(fmrs))) + 1:,} are needed"
        )
    unit = embeddings.vectors[first]
    scores = (unit @ unit.T)[np.triu_indices(len(unit), k=1)]
    return {fmr: threshold_at_fmr(scores, fmr) for fmr in fmrs}


def shipped_threshold(recognizer: str, sha256: str, fmr: float, *, side: int) -> float:
    """Return the threshold of a known recogniser from the shipped table.

    Between two tabulated rates the threshold is linear in the rate's logarithm; of the tabulated resolutions the
    nearest is taken.

    Raises:
        ConfigError: these weights are not in the table, or the rate is outside it.
    """
    table = json.loads(shipped_model(THRESHOLDS).read_text(encoding="utf-8"))["recognizers"]
    advice = "measure it on real people with --distinct.calibrate FACESET"
    if sha256 not in table:
        raise ConfigError(f"--distinct.recognizer {recognizer}: no thresholds are known for its weights; {advice}")
    sides = table[sha256]["thresholds"]
    nearest = min(sides, key=lambda known: (abs(math.log(int(known) / side)), int(known)))
    points = sorted((math.log(float(rate)), float(threshold)) for rate, threshold in sides[nearest].items())
    rates, thresholds = zip(*points, strict=True)
    if not rates[0] - 1e-9 <= math.log(fmr) <= rates[-1] + 1e-9:
        raise ConfigError(
            f"--distinct.fmr {fmr:g}: thresholds are known from {math.exp(rates[0]):.0e} to "
            f"{math.exp(rates[-1]):.0e}; for another rate {advice}"
        )
    return float(np.interp(math.log(fmr), rates, thresholds))
