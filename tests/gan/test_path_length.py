"""Path-length regularisation against its closed form for a linear synthesis."""

import math

import pytest
import torch
from torch import Tensor

from gan.config import PathLengthConfig, TrainingConfig
from gan.training.path_length import PathLengthMean, path_length_penalty, path_lengths
from synthface.core.errors import ConfigError

N, N_W, W_DIM, SIZE = 3, 4, 5, 6


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _linear(matrix: Tensor, ws: Tensor) -> Tensor:
    return torch.einsum("chwld,nld->nchw", matrix, ws)


@pytest.fixture
def matrix() -> Tensor:
    return _random(3, SIZE, SIZE, N_W, W_DIM).requires_grad_(True)


def test_lengths_of_a_linear_synthesis(matrix: Tensor) -> None:
    """The gradient by layer l's w in the direction y is A_l^T y."""
    ws, y = _random(N, N_W, W_DIM, seed=1).requires_grad_(True), _random(N, 3, SIZE, SIZE, seed=2)
    lengths = path_lengths(_linear(matrix, ws), ws, y)
    for n in range(N):
        squares = [
            float((matrix.detach()[..., layer, :].reshape(-1, W_DIM).T @ y[n].flatten() / SIZE).square().sum())
            for layer in range(N_W)
        ]
        assert lengths[n].item() == pytest.approx(math.sqrt(sum(squares) / N_W))


def test_lengths_do_not_depend_on_the_resolution() -> None:
    """Each pixel repeated 2x2: the same lengths on average, because a pixel's direction has the variance 1/(H W)."""
    small = _random(3, 8, 8, 1, 40)
    large = small.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    means = []
    for matrix in (small, large):
        ws = _random(200, 1, 40, seed=1).requires_grad_(True)
        images = _linear(matrix, ws)
        lengths = path_lengths(images, ws, _random(*images.shape, seed=3))
        means.append(lengths.square().mean().item())
    assert means[0] == pytest.approx(means[1], rel=0.1)


def test_the_penalty_is_zero_for_equal_lengths_at_the_target() -> None:
    """Of one colour value and one layer with orthonormal columns, all lengths are |y|."""
    ws = _random(2, 1, 1, seed=1).requires_grad_(True)

    def one_pixel(ws: Tensor, noise: object) -> Tensor:
        return ws.reshape(2, 1, 1, 1) * 3

    y = torch.randn(2, 1, 1, 1, generator=torch.Generator().manual_seed(4)).double()
    penalty, mean = path_length_penalty(one_pixel, ws, None, torch.Generator().manual_seed(4), 1.5)
    lengths = 3 * y.flatten().abs()
    assert mean.item() == pytest.approx(lengths.mean().item())
    assert penalty.item() == pytest.approx((lengths - 1.5).square().mean().item())


def test_the_penalty_trains_the_synthesis_by_exact_gradients(matrix: Tensor) -> None:
    ws = _random(N, N_W, W_DIM, seed=1).requires_grad_(True)

    def penalty(matrix: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(5)
        return path_length_penalty(lambda ws, _: _linear(matrix, ws), ws, None, generator, 2.0)[0]

    assert torch.autograd.gradcheck(penalty, matrix, fast_mode=True)
    (gradient,) = torch.autograd.grad(penalty(matrix), matrix)
    assert penalty(matrix - 1e-3 * gradient) < penalty(matrix)


def test_the_mean_follows_slowly_skips_what_is_not_finite_and_resumes() -> None:
    mean = PathLengthMean(decay=0.01)
    expected = 0.0
    for value in (2.0, 3.0, math.nan, math.inf, 1.0):
        mean.observe(value)
        if math.isfinite(value):
            expected = 0.99 * expected + 0.01 * value
    assert mean.value == pytest.approx(expected)
    other = PathLengthMean(decay=0.01)
    other.load_state_dict(mean.state_dict())
    assert other.value == mean.value


def test_it_is_off_unless_asked_for_and_its_settings_are_checked() -> None:
    assert TrainingConfig().path_length == PathLengthConfig(weight=0.0, interval=4, shrink=2, decay=0.01)
    for wrong in ({"weight": -1.0}, {"interval": 0}, {"shrink": 0}, {"decay": 0.0}):
        with pytest.raises(ConfigError, match="path_length"):
            PathLengthConfig(**wrong)  # type: ignore[arg-type]
