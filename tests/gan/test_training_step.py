"""The wiring of a training step: each loss, setting and controller arrives where it should, against naive formulas."""

import dataclasses
import functools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gan.augment import augment
from gan.config import AdaConfig, NetworkConfig, PathLengthConfig, TrainingConfig, TransitionConfig
from gan.networks.mapping import Mapping
from gan.training.batches import BatchSource, MicroBatch
from gan.training.gradients import apply_gradients
from gan.training.latents import draw_latents
from gan.training.step_metrics import mean_metrics, settled
from gan.training.trainer import GanTrainer

CPU = torch.device("cpu")
NETWORK = NetworkConfig(resolution=8, z_dim=4, w_dim=4, channel_base=32, channel_max=8)
# Intervals, weights and p are neither 0 nor 1 nor alike: a forgotten or mistaken factor shows.
TRAINING = TrainingConfig(
    batch=8,
    micro_batch=4,
    r1_gamma=0.7,
    r1_interval=3,
    style_mixing=0.6,
    compile=False,
    ada=AdaConfig(mode="fixed", start=0.7),
    path_length=PathLengthConfig(weight=1.5, interval=2),
)


def _trainer(**changes: Any) -> GanTrainer:
    training = dataclasses.replace(TRAINING, **changes)
    generator = np.random.default_rng(0)
    pixels, labels = generator.integers(0, 255, (20, 8, 8, 3), dtype=np.uint8), np.sort(generator.integers(0, 3, 20))
    fabric = SimpleNamespace(device=CPU, global_rank=0, world_size=1)
    return GanTrainer(NETWORK, training, 3, BatchSource(pixels, labels, training, seed=1), fabric, seed=1)


def _parameters(module: torch.nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def _loss(trainer: GanTrainer, batch: MicroBatch, phase: str) -> Tensor:
    """Write a phase's loss out; it takes its random numbers from the micro-batch in the order of these lines."""
    G, D, draws, p = trainer.G, trainer.D, batch.generator, TRAINING.ada.start
    if phase == "penalty":
        real = batch.images.requires_grad_(True)
        (slope,) = torch.autograd.grad(D(augment(real, p, draws), batch.labels).sum(), real, create_graph=True)
        return 3 * 0.7 / 2 * slope.square().sum() / 4
    latents = draw_latents(G, batch, 0.6, CPU)
    if phase == "path length":
        ws = latents.ws[:2]  # half of the micro-batch, see PathLengthConfig.shrink
        images = G.synthesis(ws, [noise[:2] for noise in latents.noise])
        directions = torch.randn(images.shape, generator=draws) / 8  # pixels a side
        (slope,) = torch.autograd.grad((images * directions).sum(), ws, create_graph=True)
        lengths = (slope.square().sum(dim=(1, 2)) / G.synthesis.n_w).sqrt()
        return 2 * 1.5 * (lengths - trainer.path_length.value).square().mean()
    fake = G.synthesis(latents.ws, latents.noise)
    if phase == "generator":
        return -F.logsigmoid(D(augment(fake, p, draws), batch.fake_labels)).mean()
    real = augment(batch.images, p, draws)
    fake = augment(fake, p, draws)
    return -(F.logsigmoid(D(real, batch.labels)) + F.logsigmoid(-D(fake, batch.fake_labels))).mean()


@pytest.mark.parametrize("phase", ["generator", "path length", "discriminator", "penalty"])
def test_an_optimiser_gets_the_gradient_of_the_loss_as_written(phase: str) -> None:
    trainer = _trainer()
    trainer.path_length.value = 0.3
    module, optimizer, step = {
        "generator": (trainer.G, trainer.optimizer_G, trainer.generator_step),
        "path length": (trainer.G, trainer.optimizer_G, trainer.path_length_step),
        "discriminator": (trainer.D, trainer.optimizer_D, trainer.discriminator_step),
        "penalty": (trainer.D, trainer.optimizer_D, trainer.penalty_step),
    }[phase]
    parameters = list(module.parameters())
    batches = [trainer.source.micro_batch(0, micro, phase) for micro in range(2)]
    loss = torch.stack([_loss(trainer, batch, phase) for batch in batches]).mean()
    expected = torch.autograd.grad(loss, parameters, materialize_grads=True)
    received: list[Tensor] = []
    optimizer.register_step_pre_hook(
        lambda *_: received.extend(torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters)
    )
    step()
    assert any(gradient.abs().max() > 1e-3 for gradient in expected)
    for gradient, oracle in zip(received, expected, strict=True):
        torch.testing.assert_close(gradient, oracle, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # torch's tracer looks at everything
@pytest.mark.parametrize("half_from", [0, 8])
def test_compiled_training_is_the_same_training(half_from: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced and differentiated as by default; only the code that is generated at the end is torch's own operators."""
    plain = _trainer(half_from=half_from)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    compiled = _trainer(half_from=half_from, compile=True)
    assert compiled._synthesize is not compiled.G.synthesis
    for _ in range(4):  # with and without either penalty
        expected, found = plain.step(), compiled.step()
        assert found.loss_generator == pytest.approx(expected.loss_generator, rel=1e-2 if half_from else 1e-4)
        assert found.loss_discriminator == pytest.approx(expected.loss_discriminator, rel=1e-2 if half_from else 1e-4)
    for name in ("G", "D", "G_ema"):
        one, other = (_parameters(getattr(trainer, name)) for trainer in (plain, compiled))
        assert (one - other).abs().max() < (2e-2 if half_from else 1e-4), name


def test_penalties_come_once_in_their_interval() -> None:
    trainer = _trainer()
    steps = [trainer.step() for _ in range(7)]
    assert [metrics.r1 is not None for metrics in steps] == [True, False, False, True, False, False, True]
    assert [metrics.path_length is not None for metrics in steps] == [True, False, True, False, True, False, True]


def test_a_penalty_without_weight_is_left_out() -> None:
    trainer = _trainer(r1_gamma=0.0)
    trainer.penalty_step = lambda: pytest.fail("a second derivative for nothing")  # type: ignore[method-assign]
    assert [trainer.step().r1 for _ in range(4)] == [None] * 4
    (group,) = trainer.optimizer_D.param_groups
    assert group["lr"] == trainer.config.learning_rate


def test_while_the_discriminator_warms_up_the_generators_loss_is_that_on_its_images() -> None:
    """Not 0, which would be averaged with the others and looks like a perfect generator."""
    trainer = _trainer(warmup_kimg=0.008)
    batches = [trainer.source.micro_batch(0, micro, "discriminator") for micro in range(2)]
    losses = []
    for batch in batches:
        latents = draw_latents(trainer.G, batch, 0.6, CPU)
        images = trainer.G.synthesis(latents.ws, latents.noise)
        augment(batch.images, 0.7, batch.generator)  # draws its numbers first
        losses.append(F.softplus(-trainer.D(augment(images, 0.7, batch.generator), batch.fake_labels)).mean().item())
    before = _parameters(trainer.G)
    metrics = trainer.step()
    assert metrics.loss_generator == pytest.approx(sum(losses) / 2, rel=1e-5)
    assert metrics.path_length is None
    assert torch.equal(before, _parameters(trainer.G))
    trainer.step()
    assert not torch.equal(before, _parameters(trainer.G))


def test_elements_that_were_no_numbers_are_counted_by_phase() -> None:
    trainer = _trainer(r1_interval=1)
    weight = next(trainer.D.parameters())

    def spoiled(gradient: Tensor) -> Tensor:
        broken = gradient.clone()
        broken[0, 0], broken[1, 0], broken[2, 0] = torch.nan, torch.inf, -torch.inf
        return broken

    healthy = trainer.step()
    assert healthy.replaced == {}
    hook = weight.requires_grad_(True).register_hook(spoiled)
    broken = trainer.step()
    hook.remove()
    assert broken.replaced == {"discriminator": 3, "penalty": 3}
    assert all(parameter.isfinite().all() for parameter in trainer.D.parameters())
    assert "replaced_discriminator" not in mean_metrics([healthy])
    means = mean_metrics([healthy, broken, broken])
    assert (means["replaced_discriminator"], means["replaced_penalty"]) == (6, 6)


def test_replaced_elements_are_those_of_the_sum_over_processes() -> None:
    """One process's infinite gradient is everybody's: each replaces, and counts, the same elements."""
    weight = torch.nn.Linear(2, 1, bias=False)
    weight.weight.grad = torch.ones(1, 2)
    other = torch.tensor([torch.inf, 1.0])
    fabric = SimpleNamespace(world_size=2, all_reduce=lambda value, reduce_op: value + other)
    assert int(apply_gradients(fabric, torch.optim.SGD(weight.parameters(), lr=0.0), weight)) == 1


def test_a_figure_that_some_images_have_is_their_mean() -> None:
    figures = {"loss": torch.tensor(0.25), "cosine": torch.tensor([0.375, 0.5]), "known": torch.tensor(0.5)}
    assert settled(figures) == {"loss": 0.25, "cosine": 0.75, "known": 0.5}
    assert settled({"cosine": torch.zeros(2), "known": torch.zeros(())}) == {"known": 0.0}


def test_adam_makes_up_for_the_steps_of_the_penalties() -> None:
    """k steps and one penalty count as k steps: rate times c, memory to the power of c, c = k / (k + 1)."""
    trainer = _trainer(learning_rate=0.0025, r1_interval=16, path_length=PathLengthConfig(weight=2.0, interval=4))
    plain = _trainer(path_length=PathLengthConfig(weight=0.0, interval=4))
    for optimizer, c in ((trainer.optimizer_D, 16 / 17), (trainer.optimizer_G, 4 / 5), (plain.optimizer_G, 1.0)):
        (group,) = optimizer.param_groups
        assert group["lr"] == pytest.approx(0.0025 * c)
        assert group["betas"] == pytest.approx((0.0, 0.99**c))


def test_all_networks_see_as_much_of_the_class_as_the_transition_says() -> None:
    trainer = _trainer(transition=TransitionConfig(start_kimg=0.008, end_kimg=0.024))
    for strength in (0.0, 0.0, 0.5, 1.0, 1.0):  # after 0, 8, 16, 24 and 32 images
        trainer.step()
        parts = [part for network in (trainer.G, trainer.D, trainer.G_ema) for part in network.modules()]
        assert [part.class_strength.item() for part in parts if isinstance(part, Mapping)] == [strength] * 3


@pytest.mark.parametrize(
    ("sign", "expected"), [(1, [0.5, 0.75, 0.75, 1]), (-1, [0.5, 0.25, 0.25, 0])], ids=["up", "down"]
)
def test_p_follows_the_scores_of_real_images(sign: int, expected: list[float]) -> None:
    """It moves by 16 of 64 images every second step; the scores of generated images have the other sign."""
    trainer = _trainer(ada=AdaConfig(start=0.5, interval=2, kimg=0.064))
    signs = torch.tensor([[100.0], [-100.0]]) * sign
    trainer.D.register_forward_hook(lambda _, inputs, logits: logits + signs.repeat_interleave(len(logits) // 2, dim=0))
    seen = []
    for _ in expected:
        trainer.step()
        seen.append(trainer.ada.p)
    assert seen == pytest.approx(expected)
    assert trainer.ada.r_t == sign


@pytest.mark.parametrize(
    ("rampup", "starts_here", "half_lives"),
    [(0.5, True, [4, 8, 10, 10]), (0.5, False, [10, 10, 10, 10]), (0.0, True, [10, 10, 10, 10])],
    ids=["ramp", "continued", "off"],
)
def test_the_half_life_of_the_average_grows_with_the_images_seen(
    rampup: float, starts_here: bool, half_lives: list[int]
) -> None:
    """Half of 8, 16, 24 images, at most 10; an average that was taken over has no first images to forget."""
    trainer = _trainer(ema_kimg=0.01, ema_rampup=rampup)
    trainer.average_starts_here = starts_here
    expected = _parameters(trainer.G)
    for half_life in half_lives:
        trainer.step()
        kept = 0.5 ** (8 / half_life)
        expected = kept * expected + (1 - kept) * _parameters(trainer.G)
        torch.testing.assert_close(_parameters(trainer.G_ema), expected)


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_style_mixing_cuts_its_share_of_images_anywhere(share: float) -> None:
    G, labels = _trainer().G, np.arange(4000) % 3
    training = TrainingConfig(batch=4000, micro_batch=4000)
    batch = BatchSource(np.zeros((4000, 8, 8, 3), np.uint8), labels, training, seed=0).micro_batch(0, 0, "generator")
    draws = torch.Generator().set_state(batch.generator.get_state())
    latents = draw_latents(G, batch, share, CPU)
    z = torch.randn(2, 4000, 4, generator=draws)
    first, second = (G.mapping(part, G.mapping.class_embedding(batch.fake_labels)) for part in z)
    cuts = (latents.ws == first[:, None]).all(dim=2).sum(dim=1)
    is_late = torch.arange(4) >= cuts[:, None]
    assert torch.equal(latents.ws, torch.where(is_late[..., None], second[:, None], first[:, None]))
    # Of 4 layers, 1, 2 or 3 may come before the cut, as likely one as another; .04 is five standard deviations.
    expected = torch.tensor([0, share / 3, share / 3, share / 3, 1 - share])
    torch.testing.assert_close(torch.bincount(cuts, minlength=5) / 4000, expected, atol=0.04, rtol=0)
    torch.testing.assert_close(latents.mean_w, first.mean(dim=0))


@pytest.mark.parametrize(("mirror", "share"), [(True, 0.5), (False, 0.0)])
def test_real_images_are_mirrored_half_of_the_time(mirror: bool, share: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1000, 8, 8, 3), dtype=np.uint8)
    training = TrainingConfig(batch=1000, micro_batch=1000, mirror=mirror)
    source = BatchSource(pixels, np.zeros(1000, np.int64), training, seed=0)
    shown = np.rint((source.micro_batch(0, 0, "discriminator").images.numpy() + 1) * 127.5).transpose(0, 2, 3, 1)
    rows = pixels[source.rows(0, 0)]
    plain, mirrored = ((shown == images).all(axis=(1, 2, 3)) for images in (rows, rows[:, :, ::-1]))
    assert (plain ^ mirrored).all()
    assert mirrored.mean() == pytest.approx(share, abs=0.08)  # five standard deviations
