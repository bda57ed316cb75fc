"""After sub-centre ArcFace: which images of the training set lie far from the rest of their class."""

import copy
from collections.abc import Callable, Iterable

import numpy as np
import torch
import torch.distributed as dist

from synthface.data import FaceSet
from synthface.data.image_cache import image_cache
from synthface.recognition.losses import SoftmaxHead
from synthface.recognition.losses.centre_table import CentreTable
from synthface.recognition.losses.recognition_loss import sum_across_processes
from synthface.recognition.losses.subcentres import images_to_drop, subcentre_cosines
from synthface.recognition.recognizer import Recognizer
from synthface.recognition.training.student import Student

_BLOCK = 1024  # images embedded at a time


def images_far_from_their_class(
    student: Student,
    faceset: FaceSet,
    *,
    rank: int = 0,
    world_size: int = 1,
    through: Callable[[range], Iterable[int]] = iter,
) -> list[str] | None:
    """Return the paths of the images to drop before training anew with one centre a class.

    Every process calls this and sees to its share of the images: to those of its own classes where these are spread.
    What is kept of an image is a number for each of its class's sub-centres.

    Args:
        student: the trained network with its head.
        faceset: what it was trained on.
        rank: of this process.
        world_size: processes.
        through: put around the blocks of images, for a progress bar.

    Returns:
        The paths, in manifest order; None where the loss has no sub-centres.
    """
    head = student.head
    if not isinstance(head, SoftmaxHead) or head.sub_centres == 1:
        return None
    centres, labels = head.centres, faceset.labels
    if isinstance(centres, CentreTable) and centres.is_spread:
        first, mine = centres.rows.start, np.flatnonzero((labels >= centres.rows.start) & (labels < centres.rows.stop))
    else:
        first, mine = 0, np.arange(rank, len(labels), world_size)
    side = student.network.config.side
    # Each process has moved its batch norms' statistics by its own images; what counts is the first's.
    if world_size > 1:
        for buffer in student.network.buffers():
            dist.broadcast(buffer, src=0)
    # A copy: a Recognizer freezes its network.
    recognizer = Recognizer(copy.deepcopy(student.network), name="purification")
    pixels, weight = image_cache(faceset, side, side), head.weight.detach().cpu()
    cosines = torch.zeros(len(labels), head.sub_centres)
    for start in through(range(0, len(mine), _BLOCK)):
        rows = mine[start : start + _BLOCK]
        x = torch.from_numpy(recognizer.embed(pixels[rows]))
        cosines[rows] = subcentre_cosines(x, torch.from_numpy(labels[rows] - first), weight)
    if world_size > 1:
        cosines = sum_across_processes(cosines.to(head.weight.device)).cpu()
    drop = images_to_drop(cosines, torch.from_numpy(labels), len(faceset.identities))
    return [record.path for record, far in zip(faceset.records, drop.tolist(), strict=True) if far]
