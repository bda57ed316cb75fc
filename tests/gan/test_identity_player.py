"""The identity player: its gradient, its state, and its independence of micro-batches and processes."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan.config import IdentityConfig, TrainingConfig
from gan.training.identity_centres import IdentityCentres
from gan.training.identity_player import IdentityPlayer, drawn_negatives, margin_loss
from gan.training.step_metrics import settled
from synthface.core.errors import ConfigError

DIM, N_CLASSES, BATCH = 6, 5, 8


def _recognizer() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.Tanh(), nn.Conv2d(8, 8, 3, stride=2), nn.Flatten(), nn.Linear(72, DIM)
        )


def _player(form: str = "centre", **changes: Any) -> IdentityPlayer:
    settings = {key: changes.pop(key) for key in list(changes) if key in IdentityConfig.__dataclass_fields__}
    config = IdentityConfig(form=form, **settings)  # type: ignore[arg-type]
    arguments: dict[str, Any] = {"n_classes": N_CLASSES, "embedding_dim": DIM, "batch": BATCH, "seed": 0}
    return IdentityPlayer(_recognizer(), config, **{**arguments, "input_side": 16, **changes})


def _images(seed: int, n: int = BATCH, side: int = 16) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def _labels(seed: int, n: int = BATCH) -> Tensor:
    return torch.randint(N_CLASSES, (n,), generator=torch.Generator().manual_seed(seed))


def _one_process(value: Tensor) -> Tensor:
    return value


def _step(player: IdentityPlayer, step: int, images: Tensor | None = None) -> Tensor:
    value, _ = player(_images(step) if images is None else images, _labels(step), step * BATCH, first=0)
    player.after_step(step * BATCH, _one_process)
    return value


def _mated_cosine(unit: Tensor, labels: Tensor) -> float:
    cosines = unit @ unit.t()
    mated = (labels[:, None] == labels[None]) & ~torch.eye(len(labels), dtype=torch.bool)
    return cosines[mated].mean().item()


@pytest.mark.parametrize("form", ["centre", "margin"])
def test_the_gradient_pulls_a_class_together(form: str) -> None:
    player = _player(form, momentum=0.5)
    labels = torch.arange(4).repeat(2)
    free = _images(0).requires_grad_(True)
    optimizer = torch.optim.Adam([free], lr=0.02)

    def cosine() -> float:
        with torch.no_grad():
            return _mated_cosine(F.normalize(player.recognizer(free.clamp(-1, 1)), dim=1), labels)

    before = cosine()
    for step in range(30):
        value, _ = player(free, labels, step * BATCH, first=0)
        player.after_step(step * BATCH, _one_process)
        optimizer.zero_grad()
        if step:
            value.backward()
            optimizer.step()
    assert cosine() > before + 0.1


def test_the_margin_form_also_pushes_classes_apart() -> None:
    classes = {}
    for form in ("centre", "margin"):
        player = _player(form, momentum=0.0, margin=0.5)
        labels, free = torch.arange(4).repeat(2), _images(0).requires_grad_(True)
        optimizer = torch.optim.Adam([free], lr=0.02)
        for step in range(40):
            value, _ = player(free, labels, step * BATCH, first=0)
            player.after_step(step * BATCH, _one_process)
            if step:
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
        unit = player.centres.units(torch.arange(4))[0]
        classes[form] = (unit @ unit.t())[~torch.eye(4, dtype=torch.bool)].mean().item()
    assert classes["margin"] < classes["centre"] - 0.1


def test_the_recogniser_is_frozen_and_the_centres_get_no_gradient() -> None:
    player = _player()
    _step(player, 0)
    images = _images(1).requires_grad_(True)
    _step(player, 1, images).backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert isinstance(player.recognizer, nn.Module)
    assert all(p.grad is None and not p.requires_grad for p in player.recognizer.parameters())
    assert not player.centres.means.requires_grad


def test_images_are_resized_within_the_gradient() -> None:
    player = _player()
    _step(player, 0, _images(0, side=32))
    images = _images(1, side=32).requires_grad_(True)
    player(images, _labels(0), BATCH, first=0)[0].backward()
    assert images.grad is not None
    assert images.grad.shape == (BATCH, 3, 32, 32)
    assert (images.grad != 0).float().mean() > 0.9


@pytest.mark.parametrize("form", ["centre", "margin"])
def test_micro_batches_in_any_process_make_one_batch(form: str) -> None:
    """Two processes with a half each: same state to the last bit, and the means of the losses agree."""
    whole = _player(form, negatives=3)
    shares = [_player(form, negatives=3) for _ in range(2)]
    for step in range(4):
        images, labels = _images(step), _labels(step)
        one, _ = whole(images, labels, step * BATCH, first=0)
        halves = [
            share(images[part], labels[part], step * BATCH, first=part.start)[0]
            for share, part in zip(shares, (slice(0, 4), slice(4, 8)), strict=True)
        ]
        torch.testing.assert_close(sum(halves) / 2, one)
        whole.after_step(step * BATCH, _one_process)
        # Whatever a process sums, the others' share is added: what an all-reduce does.
        for field in ("_classes", "_units"):
            totals = sum(getattr(share.centres, field) for share in shares)
            for share in shares:
                setattr(share.centres, field, totals.clone())
        for share in shares:
            share.after_step(step * BATCH, _one_process)
            assert torch.equal(share.centres.visits, whole.centres.visits)
            torch.testing.assert_close(share.centres.means, whole.centres.means)


def test_a_process_without_a_micro_batch_takes_part_in_the_sum() -> None:
    calls: list[Tensor] = []
    player = _player()
    player.after_step(0, lambda value: calls.append(value) or value)
    assert len(calls) == 2
    assert not player.centres.visits.any()


def test_resumed_is_uninterrupted() -> None:
    whole, first, second = _player("margin"), _player("margin"), _player("margin")
    values = [_step(whole, step) for step in range(6)]
    for step in range(3):
        _step(first, step)
    second.load_state_dict(first.state_dict())
    for step in range(3, 6):
        assert torch.equal(_step(second, step), values[step])
    assert torch.equal(second.centres.means, whole.centres.means)


def test_centres_are_moving_averages() -> None:
    centres = IdentityCentres(3, 2, 4, momentum=0.75)
    first, second = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    for units in (first, second):
        centres.collect(units, torch.tensor([2, 2]), 1)
        centres.update(_one_process)
    expected = 0.75 * torch.tensor([0.5, 0.5]) + 0.25 * torch.tensor([0.0, 1.0])
    torch.testing.assert_close(centres.means[2], expected)
    assert centres.visits.tolist() == [0, 0, 4]
    unit, known = centres.units(torch.tensor([0, 2]))
    assert known.tolist() == [False, True]
    torch.testing.assert_close(unit[1], expected / expected.norm())


def test_margin_loss_against_the_softmax_over_all_classes() -> None:
    cosines = torch.rand(4, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = torch.tensor([0, 6, 3, 3])
    logits = 16 * cosines
    logits[torch.arange(4), labels] -= 16 * 0.35
    others = cosines.clone()
    others[torch.arange(4), labels] = -torch.inf
    loss = margin_loss(cosines[torch.arange(4), labels], others, scale=16, margin=0.35)
    torch.testing.assert_close(loss * 16, F.cross_entropy(logits, labels, reduction="none"))


def test_sampled_negatives_have_the_sum_of_all_classes_on_average() -> None:
    samples = torch.stack([drawn_negatives(40, 10, seed=0, seen_images=8 * step) for step in range(400)])
    assert all(len(set(row.tolist())) == 10 for row in samples)
    exponentials = torch.linspace(-1, 1, 40).exp()
    assert (exponentials[samples].sum(dim=1) * 4).mean().item() == pytest.approx(exponentials.sum().item(), rel=0.03)


def test_negatives_depend_on_seed_and_images_seen_alone() -> None:
    torch.testing.assert_close(drawn_negatives(40, 10, 0, 24), drawn_negatives(40, 10, 0, 24))
    assert not torch.equal(drawn_negatives(40, 10, 0, 24), drawn_negatives(40, 10, 0, 32))
    assert not torch.equal(drawn_negatives(40, 10, 0, 24), drawn_negatives(40, 10, 1, 24))
    for n in (40, 1024):
        assert drawn_negatives(40, n, 0, 24).tolist() == list(range(40))


def test_schedules() -> None:
    config = IdentityConfig(form="centre", weight=2.0, start_kimg=1, ramp_kimg=2)
    assert [config.ramp(seen) for seen in (0, 1000, 2000, 3000, 9000)] == [0, 0, 0.5, 1, 1]
    player = _player(start_kimg=1, ramp_kimg=2, weight=2.0)
    value, figures = player(_images(0), _labels(0), 900, first=0)
    assert (value.item(), figures) == (0, {})
    player.after_step(900, lambda value: pytest.fail("nothing to sum before the start"))
    for seen in (2000, 3000):
        player(_images(0), _labels(0), seen, first=0)
        player.after_step(seen, _one_process)
    half, full = (player(_images(1), _labels(0), seen, first=0) for seen in (2000, 3000))
    torch.testing.assert_close(half[0] * 2, full[0])
    torch.testing.assert_close(full[0], 2.0 * full[1]["identity_loss"])


def test_it_plays_every_so_many_steps_for_all_of_them() -> None:
    every, third = _player(), _player(interval=3)
    for player in (every, third):
        _step(player, 0)
    images, labels = _images(1), _labels(0)
    for step in (1, 2):
        value, figures = third(images, labels, step * BATCH, first=0)
        assert (value.item(), figures) == (0, {})
        third.after_step(step * BATCH, lambda value: pytest.fail("it does not play in this step"))
    one, three = (player(images, labels, 3 * BATCH, first=0)[0] for player in (every, third))
    torch.testing.assert_close(one * 3, three)


def test_a_new_class_adds_nothing_until_it_has_a_centre() -> None:
    player = _player()
    value, figures = player(_images(0), torch.zeros(BATCH, dtype=torch.int64), 0, first=0)
    assert (value.item(), figures["identity_known"].item()) == (0, 0)
    player.after_step(0, _one_process)
    labels = torch.tensor([0, 1] * 4)
    value, figures = player(_images(0), labels, 8, first=0)
    assert figures["identity_known"].item() == 0.5
    assert value.item() > 0
    known = player(_images(0)[labels == 0], labels[labels == 0], 8, first=0)[1]
    assert settled(figures)["identity_cosine"] == pytest.approx(settled(known)["identity_cosine"])
    assert settled(known)["identity_cosine"] > 0


def test_statistics_are_added_with_their_weight() -> None:
    asked: list[int] = []

    def distance() -> Tensor:
        asked.append(1)
        return torch.tensor(3.0)

    player = _player(statistics_weight=0.1, statistics=distance)
    value, figures = player(_images(0), _labels(0), 0, first=0)
    assert (len(asked), figures["identity_statistics"].item()) == (1, 3)
    assert value.item() == pytest.approx(0.3)
    with pytest.raises(ConfigError, match="statistics_weight"):
        _player(statistics_weight=0.1)


def test_a_hundred_thousand_classes_stay_bounded() -> None:
    player = _player("margin", n_classes=100_000, negatives=64)
    labels = torch.tensor([5, 99_999] * 4)
    for step in range(2):
        value, _ = player(_images(step), labels, step * BATCH, first=0)
        player.after_step(step * BATCH, _one_process)
    assert torch.isfinite(value)
    assert np.flatnonzero(player.centres.visits.numpy()).tolist() == [5, 99_999]


def test_settings_are_checked() -> None:
    assert TrainingConfig().identity.form == "off"
    with pytest.raises(ConfigError, match="momentum"):
        IdentityConfig(momentum=1)
    with pytest.raises(ConfigError, match="form off"):
        _player("off")
    with pytest.raises(ConfigError, match="at least 2 classes"):
        _player(n_classes=1)
