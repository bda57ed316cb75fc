"""Verification over all pairs of a small labelled set: how a training is watched."""

import copy

import numpy as np
from numpy.typing import NDArray

from synthface.metrics.all_pairs import all_pairs
from synthface.metrics.verification import auc, equal_error_rate, tmr_at_fmr
from synthface.recognition.networks.build import Network
from synthface.recognition.recognizer import Recognizer

MAX_IMAGES = 2000  # two million pairs


def validation_rows(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the images that are compared: all, or those of as many people, spread over the set, as make up to 2000."""
    if len(labels) <= MAX_IMAGES:
        return np.arange(len(labels))
    names, counts = np.unique(labels, return_counts=True)
    # Each second person of the list, each third ..., until they fit.
    for step in range(1, len(names) + 1):
        if counts[::step].sum() <= MAX_IMAGES:
            return np.flatnonzero(np.isin(labels, names[::step]))
    return np.arange(MAX_IMAGES)


def all_pairs_verification(network: Network, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> dict[str, float]:
    """Return TMR at two FMRs, EER and AUC over every pair of the images [N, S, S, 3] uint8 that are compared.

    The network itself is left in training mode and can be trained on.
    """
    rows = validation_rows(labels)
    pixels, labels = np.asarray(pixels[rows]), labels[rows]
    pairs = all_pairs(Recognizer(copy.deepcopy(network), name="validation").embed(pixels), labels)
    mated, non_mated = pairs.mated, pairs.non_mated
    return {
        "tmr_at_fmr_1e-2": tmr_at_fmr(mated, non_mated, 1e-2),
        "tmr_at_fmr_1e-3": tmr_at_fmr(mated, non_mated, 1e-3),
        "eer": equal_error_rate(mated, non_mated),
        "auc": auc(mated, non_mated),
    }
