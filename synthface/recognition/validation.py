"""Verification over all pairs of a small labelled set: how a training is watched."""

import copy

import numpy as np
from numpy.typing import NDArray

from synthface.metrics.all_pairs import all_pairs
from synthface.metrics.verification import auc, equal_error_rate, tmr_at_fmr
from synthface.recognition.networks import Network
from synthface.recognition.recognizer import Recognizer

MAX_IMAGES = 2000  # two million pairs


def all_pairs_verification(network: Network, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> dict[str, float]:
    """Return TMR at two FMRs, EER and AUC over every pair of the images [N, S, S, 3] uint8; N is cut to 2000.

    The network itself is left in training mode and can be trained on.
    """
    pixels, labels = np.asarray(pixels[:MAX_IMAGES]), labels[:MAX_IMAGES]
    pairs = all_pairs(Recognizer(copy.deepcopy(network), name="validation").embed(pixels), labels)
    mated, non_mated = pairs.mated, pairs.non_mated
    return {
        "tmr_at_fmr_1e-2": tmr_at_fmr(mated, non_mated, 1e-2),
        "tmr_at_fmr_1e-3": tmr_at_fmr(mated, non_mated, 1e-3),
        "eer": equal_error_rate(mated, non_mated),
        "auc": auc(mated, non_mated),
    }
