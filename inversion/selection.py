"""Which of several images of a target to keep, judged without the picture behind it and without any judge."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from inversion.config import InversionConfig
from inversion.frozen import device_of, frozen
from inversion.images import from_bytes
from inversion.views import apply_views, draw_views

_VIEWS = 8


@torch.no_grad()
def select_candidates(
    model: nn.Module, images: NDArray[np.uint8], targets: NDArray[np.float32], validator: nn.Module | None = None
) -> NDArray[np.int64]:
    """Return which candidate to keep for each target, [n].

    Without a validator: the one that keeps its cosine best in views that are stronger than those it was optimised
    on, moved, recoloured and half as sharp. What hangs on the exact place of a pixel does not survive them. With a
    validator, another recogniser: the one whose embedding is nearest to the mean of all candidates' embeddings, as in
    ALSUV (ECCV 2024), which needs no target in the validator's space. A tie goes to the first.

    Args:
        model: the inverted recogniser.
        images: [C, n, H, W, 3] uint8.
        targets: [n, D] unit vectors.
        validator: a recogniser that neither made the images nor will judge them.
    """
    scores = _robustness(model, images, targets) if validator is None else _consensus(validator, images)
    return scores.argmax(axis=0).astype(np.int64)


def _robustness(model: nn.Module, images: NDArray[np.uint8], targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return [C, n] mean cosines over held-out views; every image sees the same ones."""
    config = InversionConfig(steps=_VIEWS, shift_pixels=9, scale=0.15, rotation_degrees=10.0, colour=0.2)
    views = draw_views(config, 0, ["selection"])
    assert views is not None
    device = device_of(model)
    wanted = torch.from_numpy(targets).to(device)
    scores = np.empty(images.shape[:2])
    with frozen(model):
        for number, candidates in enumerate(images):
            pixels = from_bytes(torch.from_numpy(candidates).to(device))
            cosines = [
                F.cosine_similarity(model(_view(pixels, torch.from_numpy(view).to(device))), wanted) for view in views
            ]
            scores[number] = torch.stack(cosines).cpu().double().mean(0).numpy()  # MPS has no doubles
    return scores


def _view(pixels: Tensor, view: Tensor) -> Tensor:
    soft = F.interpolate(F.avg_pool2d(pixels, 2), pixels.shape[-2:], mode="bilinear", align_corners=False)
    return apply_views(soft, view.expand(-1, len(pixels), -1)).clamp(-1, 1)


def _consensus(validator: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return [C, n] cosines of each candidate with the mean direction of its target's candidates."""
    device = device_of(validator)
    with frozen(validator):
        embedded = [F.normalize(validator(from_bytes(torch.from_numpy(part).to(device)))) for part in images]
    vectors = torch.stack(embedded).cpu().double()
    centres = F.normalize(vectors.mean(0), dim=1)
    cosines: NDArray[np.float64] = (vectors * centres).sum(2).numpy()
    return cosines
