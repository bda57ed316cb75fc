"""Augmentation: exact where a transformation is exact, neutral where it is off."""

import math

import pytest
import torch

from gan.augment import _Draw, _hue_rotation, _rotate, _scale, _translate, apply_colour, augment, colour_matrix, warp


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _images(n: int = 2, size: int = 8) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=_generator()) * 2 - 1


def test_probability_zero_is_the_identity() -> None:
    images = _images()
    assert augment(images, 0.0, _generator()) is images


def test_a_vanishing_probability_changes_nothing() -> None:
    images = _images()
    torch.testing.assert_close(augment(images, 1e-12, _generator()), images, atol=1e-5, rtol=0)


def test_flip_quarter_turn_and_whole_pixel_shift_are_exact() -> None:
    images, one = _images(), torch.ones(2)
    torch.testing.assert_close(warp(images, _scale(-one, one)), images.flip(3), atol=1e-5, rtol=0)
    turned = warp(images, _rotate(one * math.pi / 2))
    assert torch.allclose(turned, images.rot90(1, (2, 3)), atol=1e-5) or torch.allclose(
        turned, images.rot90(-1, (2, 3)), atol=1e-5
    )
    shifted = warp(images, _translate(one * 2 * 2 / 8, one * 0))
    torch.testing.assert_close(shifted[..., :-2], images[..., 2:], atol=1e-5, rtol=0)


def test_hue_rotation_keeps_grey_and_length() -> None:
    angle = torch.tensor([0.3, 2.0])
    rotation = _hue_rotation(angle)[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.transpose(1, 2), torch.eye(3).repeat(2, 1, 1), atol=1e-6, rtol=0)
    grey = torch.ones(3) * 0.4
    torch.testing.assert_close(rotation @ grey, grey.repeat(2, 1), atol=1e-6, rtol=0)
    trace = rotation.diagonal(dim1=1, dim2=2).sum(dim=1)
    torch.testing.assert_close(trace, 1 + 2 * angle.cos(), atol=1e-6, rtol=0)


def test_colour_matrix_is_affine() -> None:
    matrix = colour_matrix(_Draw(5, 1.0, _generator()))
    assert matrix.shape == (5, 4, 4)
    torch.testing.assert_close(matrix[:, 3], torch.tensor([0.0, 0, 0, 1]).repeat(5, 1))
    images = _images(5)
    pixel = torch.cat([images[:, :, 0, 0], torch.ones(5, 1)], dim=1)
    expected = (matrix @ pixel[..., None])[:, :3, 0]
    torch.testing.assert_close(apply_colour(images, matrix)[:, :, 0, 0], expected)


@pytest.mark.parametrize("p", [0.3, 1.0])
def test_each_image_is_augmented_on_its_own_and_gradients_flow(p: float) -> None:
    images = _images(4, 16).requires_grad_(True)
    result = augment(images, p, _generator(3))
    assert result.shape == images.shape
    assert torch.isfinite(result).all()
    (gradient,) = torch.autograd.grad(result[1].square().sum(), images)
    assert gradient[1].abs().sum() > 0
    assert gradient[[0, 2, 3]].abs().sum() == 0


def test_the_same_generator_state_gives_the_same_augmentation() -> None:
    images = _images()
    assert torch.equal(augment(images, 0.7, _generator(5)), augment(images, 0.7, _generator(5)))
    assert not torch.equal(augment(images, 0.7, _generator(5)), augment(images, 0.7, _generator(6)))
