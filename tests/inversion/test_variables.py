"""Fourier coefficients, latents, shared images: each stands for the images it should."""

import numpy as np
import pytest
import torch

from inversion import InversionConfig
from inversion.images import resize, symmetric
from inversion.schedule import plan_stages
from inversion.variables import FourierVariable, GeneratorPrior, LatentVariable, PixelVariable, eigenfaces
from inversion.variables.start import start_variable

CPU = torch.device("cpu")


def smooth(n: int, seed: int, side: int = 28) -> torch.Tensor:
    coarse = torch.randn(n, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 0.4
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(-0.95, 0.95)


def test_fourier_holds_images_and_survives_refinement() -> None:
    images = smooth(3, 0)
    variable = FourierVariable.from_images(images, 28)
    np.testing.assert_allclose(variable.image().detach(), resize(images, 112), atol=1e-4)
    refined = variable.refined(112)
    np.testing.assert_allclose(refined.image().detach(), resize(images, 112).clamp(-0.99, 0.99), atol=1e-4)
    odd = FourierVariable.from_images(smooth(2, 1, 27), 27)
    np.testing.assert_allclose(odd.image().detach(), resize(smooth(2, 1, 27), 112), atol=1e-4)
    mirrored = variable.refined(56, mirrored=True).image().detach()
    np.testing.assert_allclose(mirrored, mirrored.flip(-1), atol=1e-4)
    assert variable.parameters()[0].is_leaf


def test_fourier_noise_has_the_spectrum_of_natural_images() -> None:
    side = 112
    images = FourierVariable.from_noise(side, 0.02, 0, [str(k) for k in range(64)], CPU).image().detach().mean(1)
    power = torch.fft.rfft2(images).abs().square().mean(0).numpy()
    down, across = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    frequency = np.hypot(down, across)
    middle = (frequency > 0.05) & (frequency < 0.4)
    slope = np.polyfit(np.log(frequency[middle]), np.log(power[middle]), 1)[0]
    assert slope == pytest.approx(-2, abs=0.1)  # amplitude 1 / f
    again = FourierVariable.from_noise(side, 0.02, 0, ["7"], CPU).image().detach()
    whole = FourierVariable.from_noise(side, 0.02, 0, ["3", "7"], CPU).image().detach()
    np.testing.assert_allclose(again[0], whole[1], atol=1e-6)


def test_shared_image_adds_and_is_refined_with_the_others() -> None:
    variable = PixelVariable.from_noise(8, 0.1, 0, ["a", "b"], CPU, common=True)
    pixels, common = variable.parameters()
    with torch.no_grad():
        common += smooth(1, 2, 8)
    expected = resize((pixels + common).detach(), 112)
    np.testing.assert_allclose(variable.image().detach(), expected, atol=1e-6)
    np.testing.assert_allclose(variable.refined(112).image().detach(), expected, atol=1e-6)
    with torch.no_grad():
        common += 3
    variable.clamp()
    assert variable.image().max().item() <= 1 + 1e-6
    variable.image().sum().backward()
    assert common.grad is not None
    assert common.grad.shape == (1, 3, 8, 8)


def test_latents_are_standardised_and_become_pixels() -> None:
    def synthesise(latents: torch.Tensor) -> torch.Tensor:
        return latents[:, :, None, None].expand(-1, 3, 8, 8)

    prior = GeneratorPrior(synthesise, (3,), torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.5, 0.0]))
    variable = LatentVariable(prior, torch.tensor([[1.0, -1.0, 9.0]]))
    np.testing.assert_allclose(variable.image()[0, :, 50, 50].detach(), [0.6, -0.3, 0.3], atol=1e-6)
    assert variable.penalty().item() == pytest.approx(83 / 3)
    pixels = variable.refined(56)
    assert isinstance(pixels, PixelVariable)
    np.testing.assert_allclose(pixels.image().detach(), variable.image().detach(), atol=1e-6)


def test_eigenfaces_have_the_faces_mean_and_covariance() -> None:
    faces = smooth(40, 3, 6)
    prior = eigenfaces(faces, 1000)
    both = torch.cat([faces, faces.flip(-1)]).flatten(1).double()
    np.testing.assert_allclose(prior.synthesise(torch.zeros(1, *prior.shape)).flatten(), both.mean(0), atol=1e-5)
    axes = (prior.synthesise(torch.eye(prior.shape[0])).flatten(1) - both.mean(0)).double()
    np.testing.assert_allclose(axes.T @ axes, np.cov(both.numpy().T), atol=1e-5)
    assert eigenfaces(faces, 5).shape == (5,)


def test_start_and_stages_follow_the_generator() -> None:
    prior = eigenfaces(smooth(10, 4, 6), 4)
    config = InversionConfig(steps=100, latent_share=0.4)
    stages = plan_stages(config, generator=True)
    assert [(stage.start, stage.steps, stage.latent) for stage in stages] == [
        (0, 40, True),
        (40, 24, False),
        (64, 18, False),
        (82, 18, False),
    ]
    assert isinstance(start_variable(config, 0, ["a"], CPU, generator=prior), LatentVariable)
    none = InversionConfig(latent_share=0.0)
    assert isinstance(start_variable(none, 0, ["a"], CPU, generator=prior), PixelVariable)
    assert not any(stage.latent for stage in plan_stages(none, generator=True))
    alone = plan_stages(InversionConfig(steps=10, latent_share=1.0), generator=True)
    assert [(stage.steps, stage.latent) for stage in alone] == [(10, True)]
    assert isinstance(start_variable(InversionConfig(variable="fourier"), 0, ["a"], CPU), FourierVariable)


def test_mirrored_refinement_is_symmetric_and_stays_so() -> None:
    variable = PixelVariable.from_noise(28, 0.5, 0, ["a"], CPU, common=True).refined(56, mirrored=True)
    image = variable.image()
    np.testing.assert_allclose(image.detach(), image.flip(-1).detach(), atol=1e-6)
    (symmetric(image) * smooth(1, 5, 112)).sum().backward()
    for part in variable.parameters():
        np.testing.assert_allclose(part.grad, part.grad.flip(-1), atol=1e-5)
