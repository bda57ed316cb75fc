"""The shipped recogniser cut into maps, for the feature discriminator."""

import shutil
from pathlib import Path

import pytest
import torch

from gan.config import FeatureConfig, IdentityConfig, TrainingConfig
from gan.monitor_config import MonitorConfig
from gan.networks.feature_discriminator import FeatureDiscriminator
from synthface.recognition import load_recognizer
from synthface.recognition.catalogue import find_weights
from synthface.recognition.network_config import NetworkConfig
from synthface.recognition.networks.build import build_network
from synthface.recognition.recognizer import Recognizer
from synthface.workflows.gan_training.feature_network import RecognizerFeatures, frozen_features
from synthface.workflows.gan_training.frozen_networks import frozen_inputs, warn_of_a_biased_judge

BOTH = TrainingConfig(identity=IdentityConfig(form="centre"), features=FeatureConfig(mode="instead"))


def test_off_is_no_network_at_all() -> None:
    assert frozen_features(TrainingConfig(), "cpu") is None
    assert frozen_inputs(TrainingConfig()) == {}


@pytest.mark.parametrize(("finest", "sides"), [(32, [32, 16, 8, 4, 1]), (16, [16, 8, 4, 1])])
def test_maps_of_each_resolution_and_the_embedding(finest: int, sides: list[int]) -> None:
    recognizer = load_recognizer("synthface-small")
    features = RecognizerFeatures(recognizer, finest)
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    maps = features(images.requires_grad_(True))
    assert [part.shape[2] for part in maps] == sides
    assert features.sha256 == find_weights("synthface-small").sha256
    assert [(part.shape[1], part.shape[3]) for part in maps] == features.shapes
    torch.testing.assert_close(maps[-1][:, :, 0, 0], recognizer(images), rtol=1e-3, atol=1e-4)
    sum(part.square().mean() for part in maps).backward()  # type: ignore[union-attr]  # not the int of an empty sum
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in features.parameters())


def test_maps_that_cannot_be_halved_are_averaged_down_to_those_that_can() -> None:
    recognizer = Recognizer(build_network(NetworkConfig(), seed=0).eval(), name="untrained")
    features = RecognizerFeatures(recognizer, 16)
    assert [side for _, side in features.shapes] == [8, 4, 1]  # of 14, 7 and 1
    heads = FeatureDiscriminator(features, features.shapes, FeatureConfig(channels=8, width=8), n_classes=3)
    assert heads(torch.zeros(4, 3, 64, 64), torch.tensor([0, 1, 2, 0])).shape == (4, 3)


def test_each_player_is_recorded_and_must_not_judge(caplog: pytest.LogCaptureFixture) -> None:
    assert set(frozen_inputs(BOTH)) == {"identity recognizer", "features recognizer"}
    assert {len(digest) for digest in frozen_inputs(BOTH).values()} == {64}
    warn_of_a_biased_judge(BOTH, MonitorConfig(recognizer="mobilefacenet-casia"))
    assert not caplog.text
    warn_of_a_biased_judge(TrainingConfig(), MonitorConfig(recognizer="synthface-small"))
    warn_of_a_biased_judge(BOTH, MonitorConfig(recognizer="synthface-small", ticks=0))
    assert not caplog.text
    warn_of_a_biased_judge(BOTH, MonitorConfig(recognizer="synthface-small"))
    assert "identity recognizer and features recognizer" in caplog.text


def test_a_player_does_not_judge_under_another_name_either(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    shutil.copy(find_weights("synthface-small").path, copy)
    warn_of_a_biased_judge(BOTH, MonitorConfig(recognizer=str(copy)))
    assert f"--monitor.recognizer {copy} is also the training's identity recognizer and features" in caplog.text


def test_second_derivatives_are_those_of_finite_differences() -> None:
    """R1 takes the gradient's own gradient, through whatever derivatives the recogniser's layers bring along."""
    features = RecognizerFeatures(load_recognizer("synthface-small"), 16).double()
    generator = torch.Generator().manual_seed(0)
    image, direction = (torch.randn(1, 3, 64, 64, generator=generator, dtype=torch.float64) for _ in range(2))

    def slope(moved: torch.Tensor) -> torch.Tensor:
        total = torch.stack([part.square().mean() for part in features(moved)]).sum()
        (gradient,) = torch.autograd.grad(total, moved, create_graph=True)
        return gradient.square().sum()

    (analytic,) = torch.autograd.grad(slope(image.requires_grad_(True)), image)
    step = 1e-7
    ends = [slope((image + sign * step * direction).detach().requires_grad_(True)) for sign in (1, -1)]
    numeric = (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close((analytic * direction).sum(), numeric, rtol=1e-3, atol=0)
