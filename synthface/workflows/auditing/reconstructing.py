"""Training photos as the generator of the release draws them: the nearest that it can bring back of each.

One w for every layer is fitted to a photo by gradient descent, as in Abdal et al., "Image2StyleGAN" (ICCV 2019), with
the error of pixels at several resolutions in the place of a perceptual network, of which none ships. What comes out is
what a leak through the generator looks like: no copy, but that photo in its hand.
"""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synthface.data.images import resize_image

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from gan.networks.generator import Generator

Pictures = NDArray[np.uint8]

_BATCH = 16  # photos fitted together
_STEPS = 150
_RATE = 0.1  # of Adam, in standard deviations of w; falls to 0 along half a cosine
_PENALTY = 1e-3  # of the mean square distance from the mean w, in standard deviations
_SAMPLES = 1000  # of w, for its mean and standard deviation
_COARSEST = 8  # pixels a side


def reconstruct(photos: Iterator[Pictures], G: "Generator", device: "torch.device | str") -> Iterator[Pictures]:
    """Yield what the generator draws of each photo, [R, R, 3] uint8 at its resolution.

    Args:
        photos: [H, W, 3] each, aligned like those the generator was trained on.
        G: the generator, its parameters frozen.
        device: where it is.
    """
    import torch

    from gan.networks.generator import to_uint8

    mean, spread = _spread_of_w(G, device)
    while batch := list(itertools.islice(photos, _BATCH)):
        pixels = np.stack([resize_image(photo, G.resolution, G.resolution) for photo in batch])
        targets = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            images = _draw(G, _fit(G, targets, mean, spread), mean, spread)
        yield from to_uint8(images).cpu().numpy()


def _spread_of_w(G: "Generator", device: "torch.device | str") -> tuple["Tensor", "Tensor"]:
    """Return mean and standard deviation [w_dim] of w over random latents and classes."""
    import torch

    random = torch.Generator().manual_seed(0)
    z = torch.randn(_SAMPLES, G.z_dim, generator=random).to(device)
    labels = torch.randint(max(1, G.n_classes), (_SAMPLES,), generator=random).to(device)
    with torch.no_grad():
        w = G.mapping(z, G.mapping.class_embedding(labels if G.n_classes else None))
    return w.mean(dim=0), w.std(dim=0)


def _draw(G: "Generator", latents: "Tensor", mean: "Tensor", spread: "Tensor") -> "Tensor":
    """[N, n_w, w_dim] in standard deviations from the mean -> [N, 3, R, R] in [-1, 1]."""
    return G.synthesis(latents * spread + mean, G.synthesis.constant_noise()).clamp(-1, 1)


def _fit(G: "Generator", targets: "Tensor", mean: "Tensor", spread: "Tensor") -> "Tensor":
    """Return the latents whose images come nearest to ``targets`` [N, 3, R, R]; each photo has its own error."""
    import torch

    latents = torch.zeros(len(targets), G.synthesis.n_w, G.w_dim, device=targets.device, requires_grad=True)
    optimizer = torch.optim.Adam([latents], lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    with torch.enable_grad():
        for _ in range(_STEPS):
            optimizer.zero_grad()
            error = _error(_draw(G, latents, mean, spread), targets) + _PENALTY * latents.square().mean(dim=(1, 2))
            error.sum().backward()
            optimizer.step()
            schedule.step()
    return latents.detach()


def _error(images: "Tensor", targets: "Tensor") -> "Tensor":
    """Return [N] the mean square difference, averaged over resolutions halved down to 8 pixels a side."""
    import torch.nn.functional as F

    difference, errors = images - targets, []
    while difference.shape[-1] >= _COARSEST:
        errors.append(difference.square().mean(dim=(1, 2, 3)))
        difference = F.avg_pool2d(difference, 2)
    return sum(errors[1:], errors[0]) / len(errors)
