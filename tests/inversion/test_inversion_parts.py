"""Views, regularisers, schedule, pixels and groups, each against something computed otherwise."""

import numpy as np
import pytest
import torch

from inversion import PRESETS, InversionConfig
from inversion.images import from_bytes, to_bytes
from inversion.regularisers import image_norm, tv_l1, tv_norm
from inversion.schedule import learning_rate, plan_stages
from inversion.targets.groups import check_targets, plan_groups
from inversion.variables import PixelVariable
from inversion.views import apply_views, draw_views
from synthface.core.errors import ConfigError, DataError

STILL = {"flip": False, "shift_pixels": 0, "scale": 0.0, "rotation_degrees": 0.0}


def test_shifted_and_flipped_views_repeat_the_border() -> None:
    images = torch.rand(40, 1, 112, 112, generator=torch.Generator().manual_seed(0))
    config = InversionConfig(steps=1, **{**STILL, "flip": True, "shift_pixels": 3})
    maps = draw_views(config, 0, [str(k) for k in range(40)])
    views = apply_views(images, torch.from_numpy(maps[0])).numpy()
    kinds = set()
    for image, view in zip(images.numpy(), views, strict=True):
        candidates = {
            (flipped, dx, dy): np.pad(source, ((0, 0), (3, 3), (3, 3)), mode="edge")[
                :, 3 - dy : 115 - dy, 3 - dx : 115 - dx
            ]
            for flipped, source in ((False, image), (True, image[:, :, ::-1]))
            for dx in range(-3, 4)
            for dy in range(-3, 4)
        }
        nearest = min(candidates, key=lambda key: np.abs(candidates[key] - view).max())
        assert np.abs(candidates[nearest] - view).max() < 1e-3
        kinds.add(nearest)
    assert len(kinds) > 20
    assert {kind[0] for kind in kinds} == {False, True}


def test_scaled_and_rotated_views_are_bounded_and_seeded() -> None:
    config = InversionConfig(steps=500, **{**STILL, "scale": 0.05, "rotation_degrees": 3.0})
    views = draw_views(config, 7, ["a"])[:, 0, 0]
    maps = views[:, :6].reshape(-1, 2, 3)
    zoom = 1 / np.linalg.norm(maps[:, :, 0], axis=1)
    angle = np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    assert 0.95 - 1e-6 <= zoom.min() < 0.955
    assert 1.045 < zoom.max() <= 1.05 + 1e-6
    assert 2.9 < np.abs(angle).max() <= 3.0 + 1e-4
    assert np.array_equal(draw_views(config, 7, ["b", "a"])[:, 0, 1], views)
    assert not np.array_equal(draw_views(config, 8, ["a"])[:, 0, 0], views)
    assert (views[:, 6:] == [1, 1, 1, 0]).all()
    assert draw_views(InversionConfig(**STILL), 0, ["a"]) is None


def test_regularisers_equal_naive_loops() -> None:
    images = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    pixels = images.double().numpy()
    across, down = np.abs(np.diff(pixels, axis=3)).mean(), np.abs(np.diff(pixels, axis=2)).mean()
    assert tv_l1(images).item() == pytest.approx(across + down)
    steps = ((0, 1), (1, 0), (1, 1), (1, -1))
    norms = [
        sum(
            np.sqrt(
                sum(
                    (image[c, y + dy, x + dx] - image[c, y, x]) ** 2
                    for c in range(3)
                    for y in range(4)
                    for x in range(5)
                    if 0 <= y + dy < 4 and 0 <= x + dx < 5
                )
            )
            for dy, dx in steps
        )
        for image in pixels
    ]
    assert tv_norm(images).item() == pytest.approx(np.mean(norms))
    assert image_norm(images).item() == pytest.approx(np.mean([np.sqrt((image**2).sum()) for image in pixels]))
    doubled = torch.cat([images, images])
    for term in (tv_l1, tv_norm, image_norm):
        assert term(doubled).item() == pytest.approx(term(images).item())  # no weight depends on the batch size


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 300])
def test_stages_cover_every_step_and_end_at_full_size(steps: int) -> None:
    stages = plan_stages(InversionConfig(steps=steps))
    covered = [step for stage in stages for step in range(stage.start, stage.start + stage.steps)]
    assert covered == list(range(steps))
    assert stages[-1].side == 112


def test_rate_warms_up_and_falls_in_each_stage() -> None:
    config = InversionConfig(steps=100, warmup_steps=4, learning_rate=0.2, final_rate=0.1)
    for stage in plan_stages(config):
        rates = [learning_rate(config, stage, step) for step in range(stage.steps)]
        assert rates[:4] == sorted(rates[:4])
        assert max(rates) == pytest.approx(0.2)
        assert rates[4:] == sorted(rates[4:], reverse=True)
        assert 0.02 <= rates[-1] < 0.025
    paper = PRESETS["paper"]
    assert learning_rate(paper, plan_stages(paper)[0], 100) == pytest.approx(0.25)


def test_pixels_upsample_refine_and_round() -> None:
    variable = PixelVariable.from_noise(28, 0.5, 3, ["a", "b"], torch.device("cpu"))
    again = PixelVariable.from_noise(28, 0.5, 3, ["b"], torch.device("cpu"))
    assert torch.equal(variable.pixels[1:], again.pixels)
    assert variable.image().shape == (2, 3, 112, 112)
    assert torch.equal(variable.refined(112).image(), variable.image())
    values = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    assert np.array_equal(to_bytes(from_bytes(torch.from_numpy(values))).numpy(), values)
    with torch.no_grad():
        variable.pixels += 5
    variable.clamp()
    assert variable.pixels.max().item() == 1


def test_groups_are_fixed_and_filled_with_companions() -> None:
    targets = np.eye(7, dtype=np.float64)[:5] * 3
    groups = plan_groups(targets, InversionConfig(group_size=3, least_batch=3), seed=1)
    assert [group.indices for group in groups] == [(0, 1, 2), (3, 4)]
    assert [len(group.companions) for group in groups] == [0, 1]
    assert np.linalg.norm(groups[1].companions) == pytest.approx(1)
    np.testing.assert_allclose(np.concatenate([group.targets for group in groups]), np.eye(7)[:5])
    assert len({member for group in groups for member in group.seed_parts}) == 6


def test_raw_members_have_their_own_lengths_and_companions_their_median() -> None:
    targets = np.eye(6)[:3] * np.array([[1.0], [5.0], [7.0]])
    (group,) = plan_groups(targets, InversionConfig(least_batch=8, candidates=2), seed=1)
    members = group.raw_members()
    np.testing.assert_allclose(members[:6], np.concatenate([targets, targets]))
    np.testing.assert_allclose(np.linalg.norm(members[6:], axis=1), [5, 5], rtol=1e-6)


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (np.zeros((2, 4)), "zero vectors .first: row 0"),
        (np.array([[1.0, 0.0], [np.nan, 1.0]]), "NaN or infinity .first: row 1"),
        (np.ones(4), "one row of numbers a target"),
        (np.zeros((0, 4)), "one row of numbers a target"),
        (np.array([["a", "b"]]), "one row of numbers a target"),
    ],
)
def test_malformed_targets_are_named(targets: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        check_targets(targets)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"group_size": 0},
        {"learning_rate": 0.0},
        {"prior_weight": -1.0},
        {"tv_l1_weight": float("nan")},
        {"sides": (28, 56), "stage_shares": (0.5, 0.5)},
        {"sides": (28, 56, 112), "stage_shares": (0.5, 0.5)},
        {"stage_shares": (0.5, 0.5, 0.5)},
        {"stage_shares": (0.5, 0.5, float("nan"))},
        {"sides": (), "stage_shares": ()},
        {"identity_weight": -1.0},
        {"identity_weight": float("nan")},
        {"first_layer_weight": -1.0},
        {"warmup_steps": -1},
        {"final_rate": -0.1},
        {"rotation_degrees": float("inf")},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        InversionConfig(**wrong)
