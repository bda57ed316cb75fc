"""Images as tensors: sizes, mirror images, and bytes."""

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(images: Tensor, side: int) -> Tensor:
    """Return [N, C, side, side] images, bilinear; the same tensor where the size is right."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False)


def symmetric(images: Tensor) -> Tensor:
    """Return the mean of each image and its mirror image."""
    return (images + images.flip(-1)) / 2


def to_bytes(images: Tensor) -> Tensor:
    """Return [N, H, W, 3] uint8 from [N, 3, H, W] in [-1, 1], rounded."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def from_bytes(images: Tensor) -> Tensor:
    """Return [N, 3, H, W] float in [-1, 1] from [N, H, W, 3] uint8."""
    return images.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1
