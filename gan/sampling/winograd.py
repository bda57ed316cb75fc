"""3x3 convolution with a quarter of the multiplications (arXiv 1509.09308), for weights that stand still.

A tile of 4x4 results needs 6x6 inputs. Tiles and kernels are evaluated at 6 points an axis, where a convolution is 36
products instead of 144; with many channels these are large matrix products, and the transforms around them are cheap.
In float32 it errs about twice as much as the plain convolution, with the points 0, +-5/8, +-3/2 and infinity; with the
usual 0, +-1, +-2 it would be five times as much.
"""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.backends.cpu import get_cpu_capability

TILE = 4
_PATCH = TILE + 2
_POINTS = (0.0, 0.625, -0.625, 1.5, -1.5)  # and infinity
_LEAST_CHANNELS = 64  # below this the transforms cost more than the products save


def pays(weight: Tensor, side: int) -> bool:
    """Say whether the convolution of images of a side by ``weight`` [O, I, k, k] is possible here, and worth it.

    Not with AVX-512: multiplications are so cheap there that the passes over the memory around them cost more.
    """
    if get_cpu_capability() == "AVX512":
        return False
    is_plain = weight.device.type == "cpu" and weight.dtype == torch.float32 and weight.shape[2:] == (3, 3)
    return is_plain and side % TILE == 0 and min(weight.shape[:2]) >= _LEAST_CHANNELS


def transform_weight(weight: Tensor) -> Tensor:
    """Evaluate kernels [O, I, 3, 3] at the points: [36, I, O]."""
    at_points = torch.einsum("pi,qj,ocij->pqco", *[_matrix("kernel", torch.float64)] * 2, weight.double())
    return at_points.flatten(0, 1).to(weight.dtype).contiguous()


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """Convolve with zeros beyond the borders.

    Args:
        x: [N, I, H, W], sides divisible by 4.
        kernel: [36, I, O], from ``transform_weight``.

    Returns:
        [N, O, H, W], channels last.
    """
    n, channels, height, width = x.shape
    tiles = height * width // TILE**2
    # So many images at once that both operands of the products are alike in size, and stay in the cache if they can.
    at_once = min(n, max(1, channels // (2 * tiles)))
    result = x.new_empty(n, height, width, kernel.shape[2])
    for first in range(0, n, at_once):
        _convolve_into(result[first : first + at_once], x[first : first + at_once], kernel)
    return result.permute(0, 3, 1, 2)


def _convolve_into(result: Tensor, x: Tensor, kernel: Tensor) -> None:
    n, channels, height, width = x.shape
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    image, row, column, channel = padded.stride()
    tiles = (n, height // TILE, width // TILE)
    strides = (row, column, image, TILE * row, TILE * column, channel)
    patches = padded.as_strided((_PATCH, _PATCH, *tiles, channels), strides)
    inputs = _matrix("input", x.dtype) @ patches.reshape(_PATCH**2, -1)
    products = torch.bmm(inputs.view(_PATCH**2, -1, channels), kernel)
    outputs = (_matrix("output", x.dtype) @ products.flatten(1)).view(TILE, TILE, *tiles, -1)
    result.view(n, tiles[1], TILE, tiles[2], TILE, -1).copy_(outputs.permute(2, 3, 0, 4, 1, 5))


@lru_cache(maxsize=16)
def _matrix(name: str, dtype: torch.dtype) -> Tensor:
    """Return a transform: of kernels along one axis [6, 3]; of patches [36, 36] or to tiles [16, 36] along both."""
    kernel, patch, tile = _transforms()
    matrix = {"kernel": kernel, "input": np.kron(patch, patch), "output": np.kron(tile, tile)}[name]
    with torch.inference_mode(False):
        return torch.from_numpy(matrix).to(dtype)


def _transforms() -> tuple[NDArray[np.float64], ...]:
    """Return matrices of one axis (Toom and Cook): kernel [6, 3], patch [6, 6] and tile [4, 6].

    A polynomial of degree 2 times one of degree 3 is found from its values at 6 points; the correlation that a network
    computes is the transpose of this.
    """
    points = np.array(_POINTS)
    kernel, patch, tile = np.zeros((_PATCH, 3)), np.zeros((_PATCH, _PATCH)), np.zeros((TILE, _PATCH))
    for index, point in enumerate(points):
        others = np.delete(points, index)
        kernel[index] = point ** np.arange(3) / np.prod(point - others)
        patch[index, :-1] = np.poly(others)[::-1]
        tile[:, index] = point ** np.arange(TILE)
    kernel[-1, -1] = tile[-1, -1] = 1  # infinity: the leading coefficient
    patch[-1] = np.poly(points)[::-1]
    return kernel, patch, tile
