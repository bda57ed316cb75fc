"""Each option of the inversion does what it says, on a tiny recogniser."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from inversion import InversionConfig, invert, measure_statistics
from inversion.averaging import ImageAverage
from inversion.drawn_face import draw_face
from inversion.extras import Extras
from inversion.identity import identity_loss
from inversion.images import from_bytes, symmetric
from inversion.selection import select_candidates
from inversion.variables import GeneratorPrior, eigenfaces
from inversion.views import apply_views, draw_views
from synthface.core.errors import ConfigError, DataError
from synthface.data.alignment import TEMPLATE

CPU = torch.device("cpu")
STILL = {"flip": False, "shift_pixels": 0, "scale": 0.0, "rotation_degrees": 0.0}


def test_more_views_average_the_terms(tiny: nn.Module, targets: np.ndarray, quick: InversionConfig) -> None:
    still = replace(
        quick, steps=4, group_size=2, prior_weight=0.0, **STILL, colour=1e-9
    )  # views that all are the image
    one, three = (invert(tiny, targets[:2], config=replace(still, views=views)) for views in (1, 3))
    for name in one.history:
        np.testing.assert_allclose(one.history[name], three.history[name], rtol=1e-3, atol=1e-4)
    moving = replace(quick, group_size=5, views=3)
    views = draw_views(moving, 0, ["a", "b"])
    assert views.shape == (12, 3, 2, 10)
    assert len(np.unique(views[:, :, :, 2])) > 3
    assert invert(tiny, targets, config=replace(moving, steps=25)).cosine.mean() > 0.6


def test_views_change_colour_and_keep_order() -> None:
    config = InversionConfig(steps=200, views=2, colour=0.2, **STILL)
    views = torch.from_numpy(draw_views(config, 0, ["a", "b"]))
    assert 0.29 < (views[..., 6:9] - 1).abs().max().item() <= 0.3
    assert 0.19 < views[..., 9].abs().max().item() <= 0.2
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    seen = apply_views(images, views[0])
    for k in range(2):
        for n in range(2):
            view = views[0, k, n]
            expected = images[n] * view[6:9, None, None] + view[9]
            np.testing.assert_allclose(seen[2 * k + n], expected, atol=1e-5)


def test_mirror_images_wait_until_their_time() -> None:
    drawn = draw_views(InversionConfig(steps=100, flip_from=0.6), 0, ["a"])[:, 0, 0]
    assert (drawn[:60, 0] > 0).all()
    assert (drawn[60:, 0] < 0).any()
    always = draw_views(InversionConfig(steps=100), 0, ["a"])[:, 0, 0]
    np.testing.assert_array_equal(drawn[60:], always[60:])  # nothing else is drawn otherwise


@pytest.mark.parametrize("variable", ["pixels", "fourier"])
def test_symmetric_to_the_end_is_symmetric(
    variable: str, tiny: nn.Module, targets: np.ndarray, quick: InversionConfig
) -> None:
    config = replace(quick, symmetric_share=1.0, variable=variable)
    images = invert(tiny, targets, config=config).images.astype(int)
    assert np.abs(images - images[:, :, ::-1]).max() <= 1
    released = invert(tiny, targets, config=replace(config, symmetric_share=0.5)).images.astype(int)
    assert np.abs(released - released[:, :, ::-1]).max() > 3


def test_average_is_that_of_the_formula(tiny: nn.Module, targets: np.ndarray, quick: InversionConfig) -> None:
    values = torch.rand(6, 2, 3, generator=torch.Generator().manual_seed(0))
    average = ImageAverage(0.7)
    assert average.images() is None
    for value in values:
        average.update(value)
    weights = 0.7 ** np.arange(5, -1, -1)
    np.testing.assert_allclose(average.images(), np.average(values, axis=0, weights=weights), rtol=1e-5)
    flat = ImageAverage(1.0)
    for value in values:
        flat.update(value)
    np.testing.assert_allclose(flat.images(), values.mean(0), rtol=1e-5)
    plain, averaged = (invert(tiny, targets, config=replace(quick, average_share=share)).images for share in (0, 0.5))
    assert not np.array_equal(plain, averaged)


def test_candidates_are_the_images_of_single_starts(
    tiny: nn.Module, targets: np.ndarray, quick: InversionConfig
) -> None:
    alone = replace(quick, group_size=1, prior_weight=0.0)  # nothing ties the members together
    one = invert(tiny, targets[:1], config=alone).images[0]
    kept = [invert(tiny, targets[:1], config=replace(alone, candidates=3), seed=seed).images[0] for seed in range(3)]
    singles = [invert(tiny, targets[:1], config=alone, seed=seed).images[0] for seed in range(3)]
    same = [np.abs(a.astype(int) - b.astype(int)).max() <= 1 for a, b in zip(kept, singles, strict=True)]
    assert not all(same)  # another start was better under some seed
    assert np.array_equal(one, singles[0])
    whole = invert(tiny, targets, config=replace(quick, candidates=2))
    assert whole.images.shape == (5, 112, 112, 3)


def test_selection_prefers_what_survives_views_or_what_agrees(tiny: nn.Module, naturals: torch.Tensor) -> None:
    pictures = ((naturals[:4] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    with torch.no_grad():
        targets = F.normalize(tiny(from_bytes(torch.from_numpy(pictures)))).numpy()
    noise = np.random.default_rng(0).integers(0, 256, pictures.shape, dtype=np.uint8)
    candidates = np.stack([noise, pictures, np.roll(pictures, 1, axis=0)])
    assert (select_candidates(tiny, candidates, targets) == 1).all()
    odd = np.stack([noise, pictures, np.clip(pictures, 4, 251)])
    assert (select_candidates(tiny, odd, targets, validator=tiny) > 0).all()
    same = np.stack([pictures, pictures])
    assert (select_candidates(tiny, same, targets) == 0).all()


def test_doubles_are_made_on_the_processor_alone(
    tiny: nn.Module, naturals: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metal has no doubles; here, where there is no such device, whatever came by ``cpu()`` stands for the rest."""
    fetched: list[int] = []
    cpu, double = torch.Tensor.cpu, torch.Tensor.double

    def fetch(tensor: torch.Tensor) -> torch.Tensor:
        fetched.append(tensor.data_ptr())
        return cpu(tensor)

    def widen(tensor: torch.Tensor) -> torch.Tensor:
        assert tensor.data_ptr() in fetched
        return double(tensor)

    pictures = ((naturals[:4] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    candidates, targets = np.stack([pictures, pictures]), np.eye(4, 8, dtype=np.float32)
    monkeypatch.setattr(torch.Tensor, "cpu", fetch)
    monkeypatch.setattr(torch.Tensor, "double", widen)
    for act in (
        lambda: select_candidates(tiny, candidates, targets),
        lambda: select_candidates(tiny, candidates, targets, validator=tiny),
        lambda: measure_statistics(tiny, pictures),
    ):
        fetched.clear()
        act()
        assert fetched


def test_start_from_a_drawn_face_or_a_given_image(tiny: nn.Module, targets: np.ndarray, quick: InversionConfig) -> None:
    face = draw_face()
    assert face.shape == (3, 112, 112)
    left, right, _, *corners = TEMPLATE.round().astype(int)
    forehead = face[:, 28, 56].mean()
    for x, y in (left, right, np.mean(corners, axis=0).round().astype(int)):
        assert face[:, y, x].mean() < forehead - 0.15
    still = {"learning_rate": 1e-6, "start_std": 1e-6, "symmetric_share": 0.0}
    config = replace(quick, steps=1, sides=(112,), stage_shares=(1.0,), **still)
    expected = ((face + 1) * 127.5).round().permute(1, 2, 0).numpy()
    for variable, allowed in (("pixels", 1), ("fourier", 3)):
        images = invert(tiny, targets, config=replace(config, start="drawn_face", variable=variable)).images
        assert np.abs(images - expected).max() <= allowed
    mean = symmetric(torch.rand(3, 28, 28, generator=torch.Generator().manual_seed(0)))
    result = invert(tiny, targets, config=config, extras=Extras(start_image=mean))
    assert result.beyond_template == ("faces of other people",)
    assert np.abs(result.images[0] - result.images[1].astype(int)).max() <= 1
    assert invert(tiny, targets, config=config).beyond_template == ()


def test_identity_losses_equal_their_formulas(targets: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(5, 8))
    unit = targets / np.linalg.norm(targets, axis=1, keepdims=True)
    l2 = identity_loss(InversionConfig(identity_form="feature_l2"), targets, None, CPU)
    found = l2(torch.from_numpy(embeddings), torch.from_numpy(targets).double())
    np.testing.assert_allclose(found, ((embeddings - targets) ** 2).sum(1), rtol=1e-5)

    centres = np.concatenate([rng.normal(size=(4, 8)), targets])  # the targets' classes are 4 to 8
    margin = identity_loss(InversionConfig(identity_form="margin", margin_scale=5.0), targets, centres, CPU)
    found = margin(torch.from_numpy(embeddings).float(), torch.from_numpy(unit).float())
    angles = np.arccos(
        (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))
        @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T
    )
    for n in range(5):
        angles[n, 4 + n] += 0.5
        logits = 5 * np.cos(angles[n])
        assert found[n].item() == pytest.approx(np.log(np.exp(logits).sum()) - logits[4 + n], rel=1e-3)
    assert identity_loss(InversionConfig(), targets, None, CPU) is None


def test_identity_losses_optimise_and_refuse_what_they_cannot_use(
    tiny: nn.Module, targets: np.ndarray, quick: InversionConfig
) -> None:
    unit = targets / np.linalg.norm(targets, axis=1, keepdims=True)
    config = replace(quick, steps=50, group_size=5, prior_weight=1.0, **STILL)
    l2 = replace(config, identity_form="feature_l2", identity_weight=10.0)
    assert invert(tiny, targets, config=l2).cosine.mean() > 0.7
    with pytest.raises(ConfigError, match="feature_l2 needs raw embeddings"):
        invert(tiny, unit, config=l2)
    margin = replace(config, identity_form="margin", identity_weight=1.0)
    assert invert(tiny, unit, config=margin, extras=Extras(centres=targets)).cosine.mean() > 0.6
    with pytest.raises(ConfigError, match="needs the class centres"):
        invert(tiny, unit, config=margin)
    with pytest.raises(DataError, match="target 0 is no row"):
        invert(tiny, targets[:1], config=margin, extras=Extras(centres=targets[1:]))


def test_feature_l2_reaches_each_target_at_its_own_length(
    tiny: nn.Module, targets: np.ndarray, quick: InversionConfig
) -> None:
    lengths = np.array([0.5, 2.0])
    wanted = targets[:2] * (lengths / np.linalg.norm(targets[:2], axis=1))[:, None]
    free = {"prior_weight": 0.0, "tv_l1_weight": 0.0, **STILL}
    config = replace(quick, steps=80, identity_form="feature_l2", **free)
    images = invert(tiny, wanted.astype(np.float32), config=config).images
    with torch.no_grad():
        reached = np.linalg.norm(tiny(from_bytes(torch.from_numpy(images))), axis=1)
    np.testing.assert_allclose(reached, lengths, rtol=0.2)


def test_ensemble_serves_all_its_members(tiny: nn.Module, targets: np.ndarray, quick: InversionConfig) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        linear = nn.Linear(3 * 49, 6)
    model = nn.Sequential(nn.AvgPool2d(16), nn.BatchNorm2d(3), nn.Flatten(), linear, nn.BatchNorm1d(6)).eval()
    templates = np.random.default_rng(0).normal(size=(5, 6))
    config = replace(quick, steps=40, group_size=5, prior_weight=0.1)
    result = invert(tiny, targets, config=config, extras=Extras(ensemble=[(model, templates)]))
    with torch.no_grad():
        embedded = model(from_bytes(torch.from_numpy(result.images)))
    cosines = F.cosine_similarity(embedded, torch.from_numpy(templates).float())
    alone = invert(tiny, targets, config=config).images
    with torch.no_grad():
        by_chance = F.cosine_similarity(model(from_bytes(torch.from_numpy(alone))), torch.from_numpy(templates).float())
    assert result.cosine.mean() > 0.6
    assert cosines.mean() > by_chance.mean() + 0.4
    assert result.beyond_template == ("further templates",)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    with pytest.raises(ConfigError, match="4 templates for 5 targets"):
        invert(tiny, targets, config=config, extras=Extras(ensemble=[(model, templates[:4])]))
    with pytest.raises(DataError, match="3 dimensions, the recogniser's embeddings 6"):
        invert(tiny, targets, config=config, extras=Extras(ensemble=[(model, templates[:, :3])]))


def test_generator_alone_stays_in_its_range(
    tiny: nn.Module, targets: np.ndarray, quick: InversionConfig, naturals: torch.Tensor
) -> None:
    prior = eigenfaces(F.avg_pool2d(naturals, 8), 8)
    free = {"prior_weight": 0.0, "tv_l1_weight": 0.0, **STILL}
    config = replace(quick, steps=40, group_size=5, latent_share=1.0, latent_weight=0.0, **free)
    result = invert(tiny, targets, config=config, extras=Extras(generator=prior))
    assert result.history["cosine"][0, -1] > result.history["cosine"][0, 0] + 0.1
    assert result.beyond_template == ("faces of other people",)
    mean = prior.synthesise(torch.zeros(1, *prior.shape))
    axes = prior.synthesise(torch.eye(prior.shape[0])) - mean
    small = F.interpolate(from_bytes(torch.from_numpy(result.images)), (14, 14), mode="area")
    inside = small.abs().amax(dim=(1, 2, 3)) < 0.9  # clipping leaves the range
    for image in small[inside]:
        offset = (F.interpolate(mean, (112, 112), mode="bilinear"), F.interpolate(axes, (112, 112), mode="bilinear"))
        centre, basis = (F.interpolate(part, (14, 14), mode="area").flatten(1) for part in offset)
        residual = np.linalg.lstsq(basis.T.numpy(), (image.flatten() - centre[0]).numpy(), rcond=None)[1]
        assert residual < 0.05
    refined = invert(tiny, targets, config=replace(config, latent_share=0.5), extras=Extras(generator=prior))
    assert refined.cosine.mean() > 0.5


def test_diverging_latents_name_their_rate(tiny: nn.Module, targets: np.ndarray, quick: InversionConfig) -> None:
    broken = GeneratorPrior(lambda latents: latents.sum() * torch.nan + torch.zeros(len(latents), 3, 8, 8), (2,))
    with pytest.raises(ConfigError, match="diverged at step 1; lower latent_rate"):
        invert(tiny, targets, config=quick, extras=Extras(generator=broken))


@pytest.mark.parametrize(
    "wrong",
    [
        {"candidates": 0},
        {"views": 0},
        {"symmetric_share": 1.5},
        {"latent_rate": 0.0},
        {"colour": -0.1},
        {"variable": "voxels"},
        {"start": "photo"},
        {"identity_form": "l1"},
        {"depth_weights": (1.0,)},
        {"depth_weights": (1.0, float("nan"))},
        {"betas": (0.5,)},
        {"betas": (0.5, 1.0)},
        {"betas": (-0.1, 0.9)},
        {"schedule": "linear"},
        {"scale": 1.0},
        {"statistics_momentum": 0.0},
    ],
)
def test_impossible_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        InversionConfig(**wrong)
