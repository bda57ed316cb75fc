"""Smoothness and size of images; per-image means, so that no weight depends on the batch size."""

import torch
from torch import Tensor


def tv_l1(images: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbours, across plus down, of [N, C, H, W] images."""
    return (images.diff(dim=3)).abs().mean() + (images.diff(dim=2)).abs().mean()


def tv_norm(images: Tensor) -> Tensor:
    """Return the norm of all neighbour differences in four directions, summed over directions, mean over images.

    DeepInversion (arXiv 1912.08795) takes these norms over the whole batch, which grows with the square root of its
    size; per image, a weight keeps its meaning.
    """
    differences = (
        images.diff(dim=3),
        images.diff(dim=2),
        images[:, :, 1:, 1:] - images[:, :, :-1, :-1],
        images[:, :, 1:, :-1] - images[:, :, :-1, 1:],
    )
    return torch.stack([_norms(difference) for difference in differences]).sum(0).mean()


def image_norm(images: Tensor) -> Tensor:
    """Return the mean norm of [N, C, H, W] images."""
    return _norms(images).mean()


def _norms(images: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(images.flatten(1), dim=1)
    return norms
