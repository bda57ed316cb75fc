"""The training step: losses, controller, exact resume, and independence of micro-batches and processes."""

import copy
import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gan.config import AdaConfig, NetworkConfig, PathLengthConfig, TrainingConfig
from gan.training.ada import AdaController
from gan.training.batches import BatchSource
from gan.training.ema import averaged_copy, decay, update_average
from gan.training.losses import discriminator_loss, generator_loss, r1_penalty
from gan.training.step_metrics import StepMetrics, mean_metrics
from gan.training.trainer import GanTrainer
from synthface.core.errors import ConfigError
from synthface.core.seeds import derive_seed

NETWORK = NetworkConfig(resolution=8, z_dim=4, w_dim=4, channel_base=32, channel_max=8)
TRAINING = TrainingConfig(batch=8, micro_batch=4, r1_interval=2, compile=False, ada=AdaConfig(start=0.3, kimg=1))


def _source(config: TrainingConfig = TRAINING) -> BatchSource:
    generator = np.random.default_rng(0)
    labels = np.sort(generator.integers(0, 3, 20))
    return BatchSource(generator.integers(0, 255, (20, 8, 8, 3), dtype=np.uint8), labels, config, seed=1)


def _trainer(**changes: Any) -> GanTrainer:
    fabric = SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1)
    return GanTrainer(NETWORK, TRAINING, 3, _source(), fabric, seed=changes.get("seed", 1))


def _weights(trainer: GanTrainer) -> torch.Tensor:
    return torch.cat(
        [p.detach().flatten() for module in (trainer.G, trainer.D, trainer.G_ema) for p in module.parameters()]
    )


def test_losses_closed_form() -> None:
    zero, three = torch.zeros(4, 1), torch.full((4, 1), 3.0)
    assert generator_loss(zero).item() == pytest.approx(np.log(2))
    assert discriminator_loss(three, -three).item() == pytest.approx(2 * np.log1p(np.exp(-3.0)), rel=1e-5)


def test_r1_of_a_linear_discriminator_is_half_its_squared_weight() -> None:
    weight = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))
    images = torch.randn(5, 3, 4, 4).requires_grad_(True)
    penalty = r1_penalty(images, (images * weight).sum(dim=(1, 2, 3)))
    assert penalty.item() == pytest.approx(weight.square().sum().item() / 2, rel=1e-5)


def test_controller_follows_its_target() -> None:
    ada = AdaController(AdaConfig(target=0.6, interval=4, kimg=1))
    for _ in range(4):
        ada.observe(32.0, 32)
    assert ada.r_t == 1
    assert ada.p == pytest.approx(128 / 1000)
    for _ in range(8):
        ada.observe(0.0, 32)
    assert ada.p == 0
    fixed = AdaController(AdaConfig(mode="fixed", start=0.2, interval=1))
    fixed.observe(32.0, 32)
    assert fixed.p == 0.2


def test_moving_average_closed_form() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    average = averaged_copy(module)
    torch.nn.init.ones_(module.weight)
    for _ in range(10):
        update_average(average, module, decay(batch=100, half_life_images=1000))
    assert average.weight.item() == pytest.approx(0.5)


def test_each_epoch_shows_every_image_once() -> None:
    source = _source()
    rows = np.concatenate([source.rows(step, micro) for step in range(5) for micro in range(2)])
    assert sorted(rows[:20].tolist()) == list(range(20))
    assert sorted(rows[20:].tolist()) == list(range(20))
    assert rows[:20].tolist() != rows[20:].tolist()


@pytest.mark.parametrize("sampling", ["natural", "sqrt", "balanced"])
def test_class_sampling(sampling: str) -> None:
    labels = np.repeat([0, 1], [900, 100])
    config = TrainingConfig(batch=100, micro_batch=100, sampling=sampling)  # type: ignore[arg-type]
    source = BatchSource(np.zeros((1000, 8, 8, 3), np.uint8), labels, config, seed=0)
    real = np.concatenate([labels[source.rows(step, 0)] for step in range(20)])
    fake = torch.cat([source.micro_batch(step, 0, "generator").fake_labels for step in range(20)]).numpy()
    expected = {"natural": 0.1, "sqrt": 0.25, "balanced": 0.5}[sampling]
    assert real.mean() == pytest.approx(expected, abs=0.04)
    assert fake.mean() == pytest.approx(expected, abs=0.04)


def test_a_resumed_run_is_the_uninterrupted_run() -> None:
    whole = _trainer()
    whole_losses = [whole.step() for _ in range(6)]
    first = _trainer()
    for _ in range(3):
        first.step()
    state = copy.deepcopy(first.state_dict())
    second = _trainer(seed=99)  # other initial weights: all must come from the state
    second.source = first.source
    second.load_state_dict(state)
    assert [second.step() for _ in range(3)] == whole_losses[3:]
    assert torch.equal(_weights(whole), _weights(second))


def test_a_step_changes_every_parameter_of_both_networks() -> None:
    trainer = _trainer()
    before = {name: p.detach().clone() for m in (trainer.G, trainer.D) for name, p in m.named_parameters()}
    for _ in range(3):
        trainer.step()
    for module in (trainer.G, trainer.D):
        for name, parameter in module.named_parameters():
            assert not torch.equal(parameter, before[name]), name


def test_processes_share_a_step_without_changing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ranks each take half of the micro-batches; the sums of their gradients are those of one process."""
    gradients: list[list[torch.Tensor]] = []
    for ranks in ([(0, 1)], [(0, 2), (1, 2)]):
        total: list[torch.Tensor] = []
        for rank, world in ranks:
            trainer = _trainer()
            trainer.fabric.global_rank, trainer.fabric.world_size = rank, world
            seen: list[torch.Tensor] = []
            monkeypatch.setattr(
                "gan.training.trainer.apply_gradients",
                lambda fabric, optimizer, module, seen=seen: (
                    seen.extend(p.grad.clone() for p in module.parameters() if p.grad is not None) or 0
                ),
            )
            monkeypatch.setattr("gan.training.gradients.sum_over_processes", lambda fabric, value: value)
            trainer.generator_step()
            trainer.discriminator_step()
            total = [a + b for a, b in zip(total, seen, strict=True)] if total else seen
        gradients.append(total)
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-7)


def test_micro_batches_side_by_side_make_the_same_steps() -> None:
    """To the last bit, whichever of them is ready first."""
    n_threads, weights = torch.get_num_threads(), []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            trainer = _trainer()
            for _ in range(3):
                trainer.step()
            assert torch.get_num_threads() == n
            weights.append(_weights(trainer))
    finally:
        torch.set_num_threads(n_threads)
    assert torch.equal(*weights)


def test_the_mean_w_moves_once_a_step_towards_all_images_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan.training.trainer.apply_gradients", lambda *_: 0)
    means = []
    for ranks in ([(0, 1)], [(0, 2), (1, 2)]):
        means.append(torch.zeros(NETWORK.w_dim))
        for rank, world in ranks:
            trainer = _trainer()
            trainer.fabric.global_rank, trainer.fabric.world_size = rank, world
            monkeypatch.setattr("gan.training.gradients.sum_over_processes", lambda fabric, value: value)
            trainer.generator_step()
            means[-1] += trainer.G.mapping.w_average
    assert means[0].abs().max() > 0
    torch.testing.assert_close(*means)


def test_two_batches_in_one_call_do_not_see_each_other() -> None:
    D = _trainer().D.requires_grad_(False)
    images, labels = torch.randn(16, 3, 8, 8), torch.arange(16) % 3
    apart = torch.cat([D(images[:8], labels[:8]), D(images[8:], labels[8:])])
    torch.testing.assert_close(D(images, labels, parts=2), apart)
    assert not torch.allclose(D(images, labels), apart)


def test_bfloat16_blocks_stay_close_and_keep_float32_weights() -> None:
    full, half = _trainer(), _trainer()
    half.G.synthesis.half_from = half.D.half_from = 8
    images = [trainer.G(torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(8, dtype=torch.long))
              for trainer in (full, half)]  # fmt: skip
    assert images[1].dtype == torch.float32
    assert 0 < (images[0] - images[1]).abs().max() < 0.1
    half.step()
    assert {p.dtype for p in (*half.G.parameters(), *half.D.parameters())} == {torch.float32}
    assert half.G_ema.synthesis.half_from == 0


def test_path_length_step_moves_the_generator_towards_its_mean_length() -> None:
    training = dataclasses.replace(TRAINING, path_length=PathLengthConfig(weight=2.0, interval=1))
    fabric = SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1)
    trainer = GanTrainer(NETWORK, training, 3, _source(training), fabric, seed=1)
    before = trainer.G.synthesis.blocks[1].convolution.weight.detach().clone()
    length = trainer.path_length_step()
    assert length > 0
    assert trainer.path_length.value == pytest.approx(length * 0.01)
    assert not torch.equal(before, trainer.G.synthesis.blocks[1].convolution.weight)
    metrics = trainer.step()
    assert metrics.path_length is not None


def test_means_skip_steps_without_a_value() -> None:
    steps = [StepMetrics(1.0, 2.0, 0.0, 0.0, None), StepMetrics(3.0, 2.0, 0.0, 0.0, 5.0)]
    assert mean_metrics(steps)["loss_generator"] == 2
    assert mean_metrics(steps)["r1"] == 5


def test_a_process_without_work_is_refused() -> None:
    fabric = SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=3)
    with pytest.raises(ConfigError, match="3 processes share 2 micro-batches"):
        GanTrainer(NETWORK, TRAINING, 3, _source(), fabric, seed=1)


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="micro_batch"):
        TrainingConfig(batch=10, micro_batch=4)
    nan = float("nan")
    for name, values in {
        "learning_rate": (0.0, -1.0, nan),
        "r1_gamma": (-0.1, nan),
        "r1_interval": (0,),
        "style_mixing": (-0.1, 1.1, nan),
        "ema_kimg": (0.0, -1.0, nan),
        "ema_rampup": (-0.1, nan),
        "half_from": (-8, 2, 24, 2048),
        "warmup_kimg": (-1.0,),
    }.items():
        for value in values:
            with pytest.raises(ConfigError, match=rf"^--training\.{name} {value}: give "):
                TrainingConfig(**{name: value})  # type: ignore[arg-type]
    for name, values in {"resolution": (60,), "class_scale": (-1.0, nan), "clamp": (-1.0, nan)}.items():
        for value in values:
            with pytest.raises(ConfigError, match=rf"^--network\.{name} {value}: give "):
                NetworkConfig(**{name: value})  # type: ignore[arg-type]
    TrainingConfig(style_mixing=0, ema_rampup=0, r1_gamma=0, half_from=4)
    NetworkConfig(class_scale=0, clamp=0)


def test_fixed_augmentation_needs_its_probability() -> None:
    with pytest.raises(ConfigError, match=r"ada\.mode fixed: give --training\.ada\.start, or mode none"):
        AdaConfig(mode="fixed")
    assert AdaConfig(mode="fixed", start=0.1).start == 0.1


def test_without_a_rampup_the_average_has_its_whole_half_life_from_the_first_step_on() -> None:
    training = dataclasses.replace(TRAINING, ema_rampup=0.0, ema_kimg=0.016)
    fabric = SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1)
    trainer = GanTrainer(NETWORK, training, 3, _source(training), fabric, seed=1)
    before = trainer.G.synthesis.blocks[1].convolution.weight.detach().clone()
    trainer.step()
    after, average = (network.synthesis.blocks[1].convolution.weight for network in (trainer.G, trainer.G_ema))
    torch.testing.assert_close(average, before.lerp(after.detach(), 1 - 0.5**0.5))


class _CountedPixels:
    """Pixels that know how many of their rows were read."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.n_read = pixels, 0

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.n_read += len(rows)
        return self.pixels[rows]


def test_only_the_discriminators_phases_read_real_images() -> None:
    trainer = _trainer()
    pixels = trainer.source.pixels = _CountedPixels(trainer.source.pixels)  # type: ignore[assignment]
    phases = (trainer.generator_step, trainer.path_length_step, trainer.discriminator_step, trainer.penalty_step)
    read = []
    for phase in phases:
        phase()
        read.append(pixels.n_read)
    assert read == [0, 0, 8, 16]


def test_real_images_read_late_are_those_of_the_step_and_leave_the_random_numbers_alone() -> None:
    source = _source()
    batch = source.micro_batch(3, 1, "discriminator")
    plain = torch.Generator().manual_seed(derive_seed(1, "discriminator", 3, 1))
    mirrored = (torch.rand(4, generator=plain) < 0.5).numpy()
    torch.testing.assert_close(
        batch.fake_labels, torch.from_numpy(source.labels)[torch.randint(20, (4,), generator=plain)]
    )
    assert torch.equal(torch.rand(5, generator=batch.generator), torch.rand(5, generator=plain))
    assert 0 < mirrored.sum() < 4
    for image, row, is_mirrored in zip(batch.images, source.rows(3, 1), mirrored, strict=True):
        pixels = source.pixels[row][:, ::-1] if is_mirrored else source.pixels[row]
        np.testing.assert_allclose(image.permute(1, 2, 0).numpy(), pixels / 127.5 - 1, atol=1e-6)
    assert batch.images is batch.images
    assert torch.equal(torch.rand(5, generator=batch.generator), torch.rand(5, generator=plain))
