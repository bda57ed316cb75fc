"""What embeddings say of a training that goes wrong without its loss becoming infinite."""

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from synthface.recognition.losses.magnitude import MagFaceHead
from synthface.recognition.networks.build import Network
from synthface.recognition.pixels import to_tensor
from synthface.recognition.quantisation import ActivationQuantiser
from synthface.recognition.recognizer import unit_and_norms

if TYPE_CHECKING:
    from synthface.recognition.losses import RecognitionLoss

_IMAGES = 128
_COLLAPSED = 0.99  # length of the mean of unit embeddings; 1 is one embedding for all
_OUTSIDE = 0.9  # share of lengths


def embedding_faults(network: Network, head: "RecognitionLoss | None", pixels: NDArray[np.uint8]) -> list[str]:
    """Return a sentence for each fault, with what to try; usually none.

    Args:
        network: left in training mode, and can be trained on.
        head: its loss.
        pixels: [N, S, S, 3] training images; some, spread over all, are embedded.
    """
    rows = np.unique(np.linspace(0, len(pixels) - 1, min(_IMAGES, len(pixels))).astype(int))
    unit, lengths = unit_and_norms(_as_the_loss_sees_them(network, np.asarray(pixels[rows])))
    faults = []
    if len(rows) > 1 and np.linalg.norm(unit.mean(axis=0)) > _COLLAPSED:
        faults.append(
            "all faces have the same embedding by now: give a smaller --lr, --optimizer adamw or another --loss"
        )
    if isinstance(head, MagFaceHead):
        low, high = head.target.l_a, head.target.u_a
        outside = float(np.mean((lengths < low) | (lengths > high)))
        if outside > _OUTSIDE:
            faults.append(
                f"{outside:.0%} of the embeddings are outside of MagFace's lengths {low:g} to {high:g} (the median is "
                f"{np.median(lengths):.3g}), so their margin learns nothing: give --loss-options.l_a and "
                "--loss-options.u_a around that"
            )
    return faults


def _as_the_loss_sees_them(network: Network, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return raw embeddings by the batch's own statistics: running ones are late at the beginning."""
    watched = copy.deepcopy(network).train()
    for module in watched.modules():  # some layers would wait for the other processes, which are not here
        if isinstance(module, torch.nn.SyncBatchNorm):
            module.eval()
            module.running_mean = module.running_var = None  # then it, too, takes the batch's own
        elif isinstance(module, ActivationQuantiser):
            module.eval()
    device = next(watched.parameters()).device
    with torch.no_grad(), torch.random.fork_rng():  # dropout draws
        raw: NDArray[np.float32] = watched(to_tensor(pixels, device) * watched.config.pixel_scale).cpu().numpy()
    return raw
