"""The discriminator on a frozen network's features: mixing, heads, class, and its place in a training step."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan.config import FeatureConfig, NetworkConfig, TrainingConfig
from gan.networks.build_discriminator import build_discriminator
from gan.networks.discriminator import Discriminator
from gan.networks.feature_discriminator import FeatureDiscriminator, RandomMixing
from gan.networks.mapping import set_class_strength
from gan.training.batches import BatchSource
from gan.training.losses import discriminator_loss, generator_loss
from gan.training.trainer import GanTrainer
from gan.training.transfer import begin_from_generator, begin_from_training
from synthface.core.errors import ConfigError

NETWORK = NetworkConfig(resolution=8, z_dim=4, w_dim=4, channel_base=32, channel_max=8)
FEATURES = FeatureConfig(mode="instead", finest=8, channels=6, width=8)
TRAINING = TrainingConfig(batch=8, micro_batch=4, r1_interval=2, compile=False, features=FEATURES)


class TinyFeatures(nn.Module):
    """Maps of 8 and 4 pixels, and an embedding."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.fine, self.coarse = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 7, 3, stride=2, padding=1)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
        self.requires_grad_(False)
        self.shapes, self.sha256 = [(5, 8), (7, 4), (7, 1)], "a" * 64

    def forward(self, images: Tensor) -> list[Tensor]:
        fine = F.leaky_relu(self.fine(images), 0.1)
        coarse = F.leaky_relu(self.coarse(fine), 0.1)
        return [fine, coarse, coarse.mean(dim=(2, 3), keepdim=True)]


def _images(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def _discriminator(n_classes: int = 3) -> FeatureDiscriminator:
    torch.manual_seed(0)
    features = TinyFeatures()
    return FeatureDiscriminator(features, features.shapes, FEATURES, n_classes)


def _trainer(training: TrainingConfig = TRAINING) -> GanTrainer:
    generator = np.random.default_rng(0)
    labels = np.sort(generator.integers(0, 3, 20))
    source = BatchSource(generator.integers(0, 255, (20, 8, 8, 3), dtype=np.uint8), labels, training, seed=1)
    fabric = SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1)
    return GanTrainer(NETWORK, training, 3, source, fabric, seed=1, features=TinyFeatures())


def test_each_score_is_a_sum_of_its_own_loss() -> None:
    real, fake = torch.randn(6, 3), torch.randn(6, 3)
    columns = zip(real.split(1, dim=1), fake.split(1, dim=1), strict=True)
    torch.testing.assert_close(discriminator_loss(real, fake), sum(discriminator_loss(a, b) for a, b in columns))
    torch.testing.assert_close(generator_loss(fake), sum(generator_loss(b) for b in fake.split(1, dim=1)))


def test_mixing_hands_coarse_maps_on_to_finer_ones_and_forgets_scales() -> None:
    torch.manual_seed(0)
    mixing = RandomMixing([5, 7, 7], most=6)
    assert mixing.channels == [5, 6, 6]
    assert list(mixing.parameters()) == []
    maps = TinyFeatures()(_images(2))
    mixed = mixing(maps)
    assert [tuple(part.shape[1:]) for part in mixed] == [(5, 8, 8), (6, 4, 4), (6, 1, 1)]
    for a, b in zip(mixed, mixing([part * 7 for part in maps]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    moved = mixing([*maps[:2], maps[2] + torch.randn_like(maps[2])])
    assert all(not torch.allclose(a, b) for a, b in zip(mixed, moved, strict=True))
    moved = mixing([maps[0] + torch.randn_like(maps[0]), *maps[1:]])
    assert [torch.equal(a, b) for a, b in zip(mixed, moved, strict=True)] == [False, True, True]


def test_mixed_maps_keep_the_size_of_numbers() -> None:
    """Variance one comes out where unrelated maps of variance one go in, up to the draw of the weights."""
    torch.manual_seed(0)
    mixing = RandomMixing([64, 64, 64], most=64)
    mixed = mixing([torch.randn(8, 64, r, r) for r in (16, 8, 1)])
    for part in mixed:
        assert part[..., part.shape[2] // 4 : -(part.shape[2] // 4) or None, :].std() == pytest.approx(1, abs=0.15)


def test_scores_depend_on_the_class_and_without_classes_there_are_none() -> None:
    D, images = _discriminator(), _images(8)
    zeros, ones = torch.zeros(8, dtype=torch.long), torch.ones(8, dtype=torch.long)
    assert D(images, zeros).shape == (8, 3)
    assert not torch.allclose(D(images, zeros), D(images, ones))
    set_class_strength(D, 0.0)
    assert torch.equal(D(images, zeros), D(images, ones))
    assert _discriminator(0)(images, None).shape == (8, 3)


def test_two_batches_in_one_call_do_not_see_each_other() -> None:
    D, images, labels = _discriminator(), _images(16), torch.arange(16) % 3
    apart = torch.cat([D(images[:8], labels[:8]), D(images[8:], labels[8:])])
    torch.testing.assert_close(D(images, labels, parts=2), apart)
    assert not torch.allclose(D(images, labels), apart)


def test_beside_gives_both_verdicts() -> None:
    torch.manual_seed(0)
    beside = dataclasses.replace(TRAINING, features=dataclasses.replace(FEATURES, mode="beside"))
    D, images, labels = build_discriminator(NETWORK, beside, 3, TinyFeatures()), _images(8), torch.arange(8) % 3
    logits = D(images, labels)
    assert logits.shape == (8, 4)
    first = D.get_submodule("first")
    assert isinstance(first, Discriminator)
    torch.testing.assert_close(logits[:, :1], first(images, labels))
    torch.testing.assert_close(logits[:, 1:], D.get_submodule("second")(images, labels))
    off = dataclasses.replace(TRAINING, features=FeatureConfig())
    assert isinstance(build_discriminator(NETWORK, off, 3, None), Discriminator)
    with pytest.raises(ConfigError, match="needs a frozen network"):
        build_discriminator(NETWORK, beside, 3, None)


@pytest.mark.parametrize("mode", ["instead", "beside"])
def test_a_training_moves_all_but_the_frozen_network(mode: Any) -> None:
    trainer = _trainer(dataclasses.replace(TRAINING, features=dataclasses.replace(FEATURES, mode=mode)))
    frozen = TinyFeatures().state_dict()
    before = {name: p.detach().clone() for m in (trainer.G, trainer.D) for name, p in m.named_parameters()}
    metrics = [trainer.step() for _ in range(3)]
    assert all(step.r1 is None or step.r1 > 0 for step in metrics)
    for module in (trainer.G, trainer.D):
        for name, parameter in module.named_parameters():
            assert not torch.equal(parameter, before[name]), name
    part = trainer.D if mode == "instead" else trainer.D.get_submodule("second")
    assert isinstance(part, FeatureDiscriminator)
    kept = part._features[0]
    assert isinstance(kept, TinyFeatures)
    for name, tensor in kept.state_dict().items():
        assert torch.equal(tensor, frozen[name])
        assert not tensor.requires_grad
    assert not any("fine" in name for name in trainer.D.state_dict() if "mixing" not in name)


def test_processes_share_a_step_without_changing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ranks each take half of the micro-batches; the sums of their gradients are those of one process."""
    gradients = []
    monkeypatch.setattr("gan.training.gradients.sum_over_processes", lambda fabric, value: value)
    for ranks in ([(0, 1)], [(0, 2), (1, 2)]):
        total: list[Tensor] = []
        for rank, world in ranks:
            trainer, seen = _trainer(), list[Tensor]()
            trainer.fabric.global_rank, trainer.fabric.world_size = rank, world
            monkeypatch.setattr(
                "gan.training.trainer.apply_gradients",
                lambda fabric, optimizer, module, seen=seen: (
                    seen.extend(p.grad.clone() for p in module.parameters() if p.grad is not None) or 0
                ),
            )
            trainer.generator_step()
            trainer.discriminator_step()
            total = [a + b for a, b in zip(total, seen, strict=True)] if total else seen
        gradients.append(total)
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


def test_a_resumed_run_is_the_uninterrupted_run() -> None:
    whole, first = _trainer(), _trainer()
    expected = [whole.step() for _ in range(4)]
    for _ in range(2):
        first.step()
    second = _trainer()
    second.D.get_submodule("mixing").get_buffer("across_0").zero_()  # random, and so part of the state
    second.load_state_dict(first.state_dict())
    assert [second.step() for _ in range(2)] == expected[2:]


def test_another_generator_is_taken_over_with_or_without_its_classes() -> None:
    one, other = _trainer(), _trainer()
    for _ in range(2):
        one.step()
    rows = other.G.state_dict()["mapping.embed.weight"].clone()
    begin_from_generator(other, one.G, with_classes=False)
    for name, tensor in other.G.state_dict().items():
        assert torch.equal(tensor, rows if name == "mapping.embed.weight" else one.G.state_dict()[name]), name
    begin_from_generator(other, one.G, with_classes=True)
    for network in (other.G, other.G_ema):
        assert all(torch.equal(tensor, one.G.state_dict()[name]) for name, tensor in network.state_dict().items())


def _begun(training: TrainingConfig, state: dict[str, Any]) -> GanTrainer:
    trainer = _trainer(training)
    begin_from_training(trainer, state, NETWORK, same_recognizer=True)
    return trainer


def _other(**changes: Any) -> TrainingConfig:
    return dataclasses.replace(TRAINING, features=dataclasses.replace(FEATURES, **changes))


def test_heads_are_taken_over_where_they_see_the_same_maps() -> None:
    before = _trainer()
    before.step()
    state = before.state_dict()
    trainer = _begun(TRAINING, state)
    assert all(torch.equal(tensor, trainer.D.state_dict()[name]) for name, tensor in state["D"].items())
    older = {name: part for name, part in state.items() if name != "features"}
    assert _begun(TRAINING, older).step_index == 0  # nothing is known of what it saw through


def test_heads_on_another_recognisers_maps_are_refused() -> None:
    state = _trainer().state_dict() | {"features": "b" * 64}
    with pytest.raises(
        ConfigError, match=r"^--training\.features\.recognizer synthface-small: .* \(b{12}, not a{12}\)"
    ):
        _begun(TRAINING, state)


@pytest.mark.parametrize(("then", "now"), [("off", "beside"), ("beside", "instead"), ("instead", "off")])
def test_another_kind_of_discriminator_is_refused_by_the_name_of_its_flag(then: str, now: str) -> None:
    state = _trainer(_other(mode=then)).state_dict()
    message = (
        rf"^--training\.features\.mode {now}: the run in --init has {then}; give --training\.features\.mode {then}"
    )
    with pytest.raises(ConfigError, match=message):
        _begun(_other(mode=now), state)


def test_heads_of_other_sizes_are_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^--init: .*discriminator has other sizes \(.*width.*alone to --init$"):
        _begun(_other(width=4), _trainer().state_dict())
