"""After sub-centre ArcFace: which images of the training set lie far from the rest of their class."""

import copy

import numpy as np
import torch

from synthface.data import FaceSet
from synthface.data.image_cache import image_cache
from synthface.recognition.losses import SoftmaxHead
from synthface.recognition.losses.centre_table import CentreTable
from synthface.recognition.losses.recognition_loss import sum_across_processes
from synthface.recognition.losses.subcentres import images_to_drop
from synthface.recognition.recognizer import Recognizer
from synthface.recognition.student import Student


def images_far_from_their_class(student: Student, faceset: FaceSet) -> list[str] | None:
    """Return the paths of the images to drop before training anew with one centre a class.

    Where the classes are spread over processes, every process calls this and sees to the images of its own.

    Returns:
        The paths, in manifest order; None where the loss has no sub-centres.
    """
    head = student.head
    if not isinstance(head, SoftmaxHead) or head.sub_centres == 1:
        return None
    centres, labels = head.centres, faceset.labels
    rows = centres.rows if isinstance(centres, CentreTable) else range(len(faceset.identities))
    mine = np.flatnonzero((labels >= rows.start) & (labels < rows.stop))
    side = student.network.config.side
    # A copy: a Recognizer freezes its network.
    recognizer = Recognizer(copy.deepcopy(student.network), name="purification")
    pixels = image_cache(faceset, side, side)
    x = torch.from_numpy(recognizer.embed(pixels if len(mine) == len(labels) else pixels[mine]))
    drop = torch.zeros(len(labels), dtype=torch.int64)
    own = torch.from_numpy(labels[mine] - rows.start)
    drop[torch.from_numpy(mine)] = images_to_drop(x, own, head.weight.detach().cpu()).long()
    if centres.is_spread:
        drop = sum_across_processes(drop.to(head.weight.device))
    return [record.path for record, far in zip(faceset.records, drop.tolist(), strict=True) if far]
