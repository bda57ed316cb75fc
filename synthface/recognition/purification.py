"""After sub-centre ArcFace: which images of the training set lie far from the rest of their class."""

import copy

import torch

from synthface.data import FaceSet
from synthface.data.image_cache import image_cache
from synthface.recognition.losses import SoftmaxHead
from synthface.recognition.losses.subcentres import images_to_drop
from synthface.recognition.recognizer import Recognizer
from synthface.recognition.training import Student


def images_far_from_their_class(student: Student, faceset: FaceSet) -> list[str] | None:
    """Return the paths of the images to drop before training anew with one centre a class.

    Returns:
        The paths, in manifest order; None where the loss has no sub-centres.
    """
    head = student.head
    if not isinstance(head, SoftmaxHead) or head.sub_centres == 1:
        return None
    side = student.network.config.side
    # A copy: a Recognizer freezes its network.
    recognizer = Recognizer(copy.deepcopy(student.network), name="purification")
    x = torch.from_numpy(recognizer.embed(image_cache(faceset, side, side)))
    dropped = images_to_drop(x, torch.from_numpy(faceset.labels), head.weight.detach().cpu())
    return [record.path for record, drop in zip(faceset.records, dropped.tolist(), strict=True) if drop]
