"""The augmentation pipeline: neutral where it is off, each image on its own, strengths as the paper has them."""

import cmath
import math
from typing import get_args

import pytest
import torch

from gan.augment import augment
from gan.augment.bands import Bands, draw_bands, filter_bands, normalised_gains
from gan.augment.colour import Colours, colour_map, draw_colours, recolour
from gan.augment.corruption import Cutout, add_noise, cut_out, draw_cutout, draw_noise
from gan.augment.draws import Draw
from gan.augment.geometric import Blits, Warps, blit_positions, draw_blits, draw_warps, warp_positions
from gan.augment.warp import needed_margins, warp
from gan.config import AdaConfig, AugmentationGroups
from synthface.core.errors import ConfigError

GROUPS: tuple[AugmentationGroups, ...] = get_args(AugmentationGroups)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _images(n: int = 2, size: int = 16, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=_generator(), dtype=dtype) * 2 - 1


def _draw(n: int = 4000, p: float = 1.0) -> Draw:
    return Draw(n, p, _generator())


@pytest.mark.parametrize("groups", GROUPS)
def test_probability_zero_is_the_identity_and_draws_nothing(groups: AugmentationGroups) -> None:
    images, generator = _images(), _generator()
    assert augment(images, 0.0, generator, groups) is images
    assert torch.equal(generator.get_state(), _generator().get_state())


@pytest.mark.parametrize("groups", GROUPS)
def test_a_vanishing_probability_changes_nothing_and_costs_no_resampling(groups: AugmentationGroups) -> None:
    images = _images()
    assert augment(images, 1e-12, _generator(), groups) is images


def test_resampling_without_movement_gives_the_image_back() -> None:
    """Of three images one moves so far that all three are resampled; a thousandth of a pixel moves the others."""
    images = _images(3)
    positions = torch.eye(3).repeat(3, 1, 1)
    positions[:, 0, 2] = torch.tensor([1e-6, 1e-6, 5.0])
    torch.testing.assert_close(warp(images, positions)[:2], images[:2], atol=1e-5, rtol=0)


def test_an_image_that_does_not_move_is_left_alone() -> None:
    images = _images(3)
    positions = torch.eye(3).repeat(3, 1, 1)
    positions[1, 0, 2] = 0.5
    result = warp(images, positions)
    assert torch.equal(result[[0, 2]], images[[0, 2]])
    assert not torch.allclose(result[1], images[1], atol=0.01)


def test_a_shift_by_whole_pixels_mirrors_what_comes_in() -> None:
    images, zero = _images(), torch.zeros(2)
    blits = Blits(zero, zero, torch.tensor([[3 / 16, -2 / 16]] * 2))
    shifted = warp(images, blit_positions(blits, 16))
    torch.testing.assert_close(shifted[:, :, :-2, 3:], images[:, :, 2:, :-3], atol=1e-5, rtol=0)
    torch.testing.assert_close(shifted[:, :, :-2, :3], images[:, :, 2:, 1:4].flip(3), atol=1e-5, rtol=0)


def test_mirroring_and_quarter_turns_of_a_smooth_image() -> None:
    """The wavelet is not quite symmetric: a turn harms even what is smooth a little."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    images = (torch.sin(0.2 * x) + 0.02 * y)[None, None].repeat(1, 3, 1, 1)
    one, still = torch.ones(1), torch.zeros(1, 2)
    inner = (..., slice(4, -4), slice(4, -4))
    flipped = warp(images, blit_positions(Blits(one, one * 0, still), 32))
    torch.testing.assert_close(flipped[inner], images.flip(3)[inner], atol=0.03, rtol=0)
    turned = warp(images, blit_positions(Blits(one * 0, one, still), 32))
    torch.testing.assert_close(turned[inner], images.rot90(1, (2, 3))[inner], atol=0.03, rtol=0)


def test_shrinking_suppresses_what_the_new_grid_cannot_hold() -> None:
    """Stripes of two pixels, shrunk by 1.6, lie above the highest frequency: plain bilinear sampling folds them."""
    images = (torch.arange(64) % 2 * 2.0 - 1).expand(1, 3, 64, 64)
    positions = torch.diag(torch.tensor([1.6, 1.6, 1.0]))[None]
    grid = torch.nn.functional.affine_grid(positions[:, :2], [1, 3, 64, 64], align_corners=False)
    plain = torch.nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    assert warp(images, positions).square().mean() < 0.2 * plain.square().mean()


def test_no_image_depends_on_the_others() -> None:
    images = _images(6, 24)
    draw = _draw(6)
    positions = blit_positions(draw_blits(draw), 24) @ warp_positions(draw_warps(draw), 24)
    together = warp(images, positions)
    for k in range(6):
        torch.testing.assert_close(
            together[k : k + 1], warp(images[k : k + 1], positions[k : k + 1]), atol=5e-5, rtol=0
        )


def test_warps_move_a_point_as_told() -> None:
    """Zoom, turn, stretch, turn, shift, in complex numbers; the maps go the other way round."""
    warps = Warps(*(torch.tensor([value]) for value in (1.3, 0.4, 0.8, -1.1)), torch.tensor([[0.1, -0.2]]))
    forward = torch.linalg.inv(warp_positions(warps, 10))[0].double()
    for point in (1 + 2j, -3 + 0.5j):
        turned = cmath.exp(-0.4j) * 1.3 * point
        stretched = complex(0.8 * turned.real, turned.imag / 0.8)
        expected = cmath.exp(1.1j) * stretched + (1 - 2j)
        x, y, _ = (forward @ torch.tensor([point.real, point.imag, 1.0], dtype=torch.float64)).tolist()
        assert complex(x, y) == pytest.approx(expected, abs=1e-5)


def test_margins_are_bounded_by_one_image() -> None:
    far = torch.eye(3)[None].clone()
    far[:, 0, 2] = 1000
    assert needed_margins(far, 16, 16) == (0, 7, 15, 7)
    assert torch.isfinite(warp(_images(1), far)).all()


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("p", [0.3, 1.0])
def test_each_image_is_augmented_on_its_own_and_gradients_flow(p: float, groups: AugmentationGroups) -> None:
    images = _images(4).requires_grad_(True)
    result = augment(images, p, _generator(3), groups)
    assert result.shape == images.shape
    assert torch.isfinite(result).all()
    (gradient,) = torch.autograd.grad(result[1].square().sum(), images)
    assert gradient[1].abs().sum() > 0
    assert gradient[[0, 2, 3]].abs().sum() == 0


def test_the_same_generator_state_gives_the_same_augmentation() -> None:
    images = _images()
    assert torch.equal(augment(images, 0.7, _generator(5), "bgcfnc"), augment(images, 0.7, _generator(5), "bgcfnc"))
    assert not torch.equal(augment(images, 0.7, _generator(5)), augment(images, 0.7, _generator(6)))


@pytest.mark.parametrize("groups", ["bgcfnc", "bgc"])
def test_derivatives_of_first_and_second_order(groups: AugmentationGroups) -> None:
    def function(images: torch.Tensor) -> torch.Tensor:
        return augment(images, 0.8, _generator(1), groups).square()

    images = _images(1, 6, torch.float64).requires_grad_(True)
    assert torch.autograd.gradcheck(function, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, images, fast_mode=True)


def test_colours_are_mapped_one_after_the_other() -> None:
    """Against the definition, transformation by transformation."""
    colours = draw_colours(_draw(5))
    images = _images(5, 4)
    result = recolour(images, colours)
    axis = torch.ones(3) / math.sqrt(3)
    for k in range(5):
        x = (images[k] + colours.brightness[k]) * colours.contrast[k]
        luma = torch.einsum("c,chw->hw", axis, x)
        if colours.luma_flip[k]:
            x = x - 2 * axis[:, None, None] * luma
        generator = torch.linalg.cross(axis.expand(3, 3), torch.eye(3), dim=1).T
        x = torch.einsum("ij,jhw->ihw", torch.linalg.matrix_exp(colours.hue[k] * generator), x)
        grey = axis[:, None, None] * torch.einsum("c,chw->hw", axis, x)
        torch.testing.assert_close(result[k], grey + colours.saturation[k] * (x - grey), atol=1e-5, rtol=1e-5)


def test_a_full_turn_of_hue_is_neutral_and_grey_stays_grey() -> None:
    one, zero = torch.ones(1), torch.zeros(1)
    matrix, offset = colour_map(Colours(zero, one, zero, one * 2 * math.pi, one))
    torch.testing.assert_close(matrix[0], torch.eye(3), atol=1e-6, rtol=0)
    assert not offset.any()
    matrix, _ = colour_map(Colours(zero, one, zero, one, one * 3))
    torch.testing.assert_close(matrix[0] @ torch.ones(3), torch.ones(3))


def test_amplified_bands_keep_the_expected_power() -> None:
    gains = normalised_gains(Bands(torch.tensor([[1.0, 4, 1, 1], [1, 1, 1, 1], [2, 1, 0.5, 1]])))
    power = torch.tensor([10.0, 1, 1, 1]) / 13
    torch.testing.assert_close(gains[0], torch.tensor([1.0, 4, 1, 1]) / math.sqrt((12 + 16) / 13))
    torch.testing.assert_close(gains[:2].square() @ power, torch.ones(2))
    first = torch.tensor([2.0, 1, 1, 1]) / math.sqrt((40 + 3) / 13)
    third = torch.tensor([1, 1, 0.5, 1]) / math.sqrt((10 + 2.25) / 13)
    torch.testing.assert_close(gains[2], first * third)


def test_neutral_bands_leave_an_image_alone() -> None:
    images = _images(2)
    result = filter_bands(images, Bands(torch.tensor([[1.0, 1, 1, 1], [1, 1, 4, 1]])))
    assert torch.equal(result[0], images[0])
    assert not torch.allclose(result[1], images[1])


def test_cutout_removes_a_square_of_half_the_side() -> None:
    images = torch.ones(2, 3, 8, 12)
    result = cut_out(images, Cutout(torch.tensor([True, False]), torch.tensor([[0.5, 0.5], [0.5, 0.5]])))
    expected = torch.ones(8, 12)
    expected[2:6, 3:9] = 0
    assert torch.equal(result[0], expected.expand(3, -1, -1))
    assert torch.equal(result[1], images[1])


def test_strengths_are_those_of_the_paper() -> None:
    draw = _draw()
    blits, warps, colours, bands = draw_blits(draw), draw_warps(draw), draw_colours(draw), draw_bands(draw)
    assert blits.mirrored.mean().item() == pytest.approx(0.5, abs=0.03)
    assert sorted(blits.quarter_turns.unique().tolist()) == [0, 1, 2, 3]
    assert blits.shift.abs().max().item() == pytest.approx(0.125, abs=1e-3)
    for value, std in (
        (warps.zoom.log2(), 0.2),
        (warps.stretch.log2(), 0.2),
        (warps.shift, 0.125),
        (colours.brightness, 0.2),
        (colours.contrast.log2(), 0.5),
        (colours.saturation.log2(), 1.0),
        (bands.gains.log2(), 1.0),
    ):
        assert value.std().item() == pytest.approx(std, rel=0.05)
        assert value.mean().item() == pytest.approx(0, abs=std / 10)
    assert colours.hue.abs().max().item() == pytest.approx(math.pi, abs=0.01)
    noise = draw_noise(draw, torch.Size((1, 1, 1)))
    assert noise.deviation.square().mean().sqrt().item() == pytest.approx(0.1, rel=0.05)
    assert draw_cutout(draw).on.all()


def test_noise_has_its_own_deviation_in_each_image() -> None:
    noise = draw_noise(_draw(3), torch.Size((3, 64, 64)))
    added = add_noise(torch.zeros(3, 3, 64, 64), noise)
    torch.testing.assert_close(added.std(dim=(1, 2, 3)), noise.deviation, rtol=0.03, atol=0)


def test_each_transformation_is_on_with_probability_p() -> None:
    p = 0.3
    draw = _draw(p=p)
    blits, warps, colours = draw_blits(draw), draw_warps(draw), draw_colours(draw)
    bands, cutout = draw_bands(draw), draw_cutout(draw)
    rotated = (warps.first_angle != 0) | (warps.second_angle != 0)
    moved = (blits.shift != 0).all(dim=1)
    assert torch.equal(moved, (blits.shift != 0).any(dim=1))  # both directions together
    for on, share in (
        (blits.mirrored != 0, p / 2),
        (blits.quarter_turns != 0, p * 3 / 4),
        (moved, p),
        (warps.zoom != 1, p),
        (rotated, p),
        (warps.stretch != 1, p),
        (warps.shift[:, 0] != 0, p),
        (colours.brightness != 0, p),
        (colours.luma_flip != 0, p / 2),
        (colours.hue != 0, p),
        (bands.gains[:, 2] != 1, p),
        (cutout.on, p),
    ):
        assert on.float().mean().item() == pytest.approx(share, abs=0.03)


def test_the_groups_of_the_configuration_are_those_of_the_pipeline() -> None:
    images = _images(8)
    results = [augment(images, 1.0, _generator(), groups) for groups in GROUPS]
    for i, first in enumerate(results):
        assert not any(torch.equal(first, second) for second in results[:i])
    assert AdaConfig().groups == "bgc"
    with pytest.raises(ConfigError, match=r"ada\.start"):
        AdaConfig(start=1.5)
