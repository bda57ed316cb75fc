"""A training that begins with what another one has learnt: all of it, and nothing that computes something else."""

import dataclasses
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gan.config import AdaConfig, IdentityConfig, NetworkConfig, PathLengthConfig, TrainingConfig
from gan.training.batches import BatchSource
from gan.training.identity_player import IdentityPlayer
from gan.training.trainer import GanTrainer
from gan.training.transfer import begin_from_generator, begin_from_training
from synthface.core.errors import ConfigError

NETWORK = NetworkConfig(resolution=8, z_dim=4, w_dim=4, channel_base=32, channel_max=8)
PLAIN = TrainingConfig(batch=8, micro_batch=4, compile=False, ada=AdaConfig(start=0.3))
PENALISED = dataclasses.replace(PLAIN, path_length=PathLengthConfig(weight=2.0, interval=1))
PLAYED = dataclasses.replace(PENALISED, identity=IdentityConfig(form="centre"))


def _means(images: Tensor) -> Tensor:
    return images.mean(dim=(2, 3))


def _trainer(training: TrainingConfig, **changes: Any) -> GanTrainer:
    generator, network = np.random.default_rng(0), dataclasses.replace(NETWORK, **changes)
    pixels = generator.integers(0, 255, (20, 8, 8, 3), dtype=np.uint8)
    source = BatchSource(pixels, np.arange(20) % 3, training, seed=1)
    fabric = SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1)
    player = training.identity.form != "off"
    term = IdentityPlayer(_means, training.identity, n_classes=3, embedding_dim=3, batch=8, seed=1) if player else None
    return GanTrainer(network, training, 3, source, fabric, 1, term)


@pytest.fixture
def before() -> GanTrainer:
    trainer = _trainer(PLAYED)
    for _ in range(4):
        trainer.step()
    return trainer


def _begin(
    trainer: GanTrainer, before: GanTrainer, *, without: Sequence[str] = (), same_recognizer: bool = True
) -> GanTrainer:
    state = {name: part for name, part in before.state_dict().items() if name not in without}
    begin_from_training(trainer, state, before.G.config, same_recognizer=same_recognizer)
    return trainer


def test_all_that_was_learnt_is_taken_over(before: GanTrainer) -> None:
    trainer = _begin(_trainer(PLAYED), before)
    assert trainer.step_index == 0
    for name, part in before.state_dict().items():
        mine = trainer.state_dict()[name]
        if name in ("G", "D", "G_ema", "term"):
            assert all(torch.equal(tensor, mine[key]) for key, tensor in part.items()), name
        elif name in ("ada", "path_length"):
            assert part == mine
            assert any(part.values())
    assert before.term is not None
    assert before.term.state_dict()["visits"].sum() == 4 * 8


def test_what_only_one_of_the_two_has_is_left_alone(before: GanTrainer) -> None:
    without = _begin(_trainer(PLAIN), before)
    assert without.term is None
    new = _begin(_trainer(PLAYED), before, without=("term", "path_length"))
    assert new.path_length.value == 0
    assert new.term is not None
    assert new.term.state_dict()["visits"].sum() == 0


def test_centres_under_another_recogniser_are_not_taken_over(before: GanTrainer) -> None:
    trainer = _begin(_trainer(PLAYED), before, same_recognizer=False)
    assert trainer.term is not None
    assert trainer.term.state_dict()["visits"].sum() == 0
    assert trainer.path_length.value == before.path_length.value > 0


@pytest.mark.parametrize(("ada", "p"), [(AdaConfig(mode="fixed", start=0.7), 0.7), (AdaConfig(mode="none"), 0.0)])
def test_a_p_that_is_given_stays(before: GanTrainer, ada: AdaConfig, p: float) -> None:
    assert _begin(_trainer(dataclasses.replace(PLAIN, ada=ada)), before).ada.p == p


@pytest.mark.parametrize("changes", [{"class_scale": 0.5}, {"clamp": 1.0}, {"w_dim": 8}, {"resolution": 16}])
def test_a_generator_that_computes_something_else_is_refused(before: GanTrainer, changes: dict[str, Any]) -> None:
    trainer, (name, _) = _trainer(PLAIN, **changes), *changes.items()
    message = rf"^--init: .*other sizes or settings; give --network\.{name} {getattr(NETWORK, name)}$"
    with pytest.raises(ConfigError, match=message):
        _begin(trainer, before)
    with pytest.raises(ConfigError, match=message):
        begin_from_generator(trainer, before.G_ema, with_classes=True)


def test_the_discriminators_group_size_may_be_another(before: GanTrainer) -> None:
    expected = before.G_ema.state_dict()
    one, other = _trainer(PLAIN, group_size=2), _trainer(PLAIN, group_size=2)
    begin_from_generator(one, before.G_ema, with_classes=True)
    _begin(other, before)
    for trainer in (one, other):
        assert all(torch.equal(tensor, expected[name]) for name, tensor in trainer.G_ema.state_dict().items())
        assert trainer.D.group_size == 2
        assert not trainer.average_starts_here  # a ramp from nothing would forget the average that was taken over


def test_no_classes_do_not_fit_classes(before: GanTrainer) -> None:
    trainer = _trainer(PLAIN)
    trainer.G.n_classes = 0
    with pytest.raises(ConfigError, match=r"^--init: that generator has 3 classes; the faces have 0$"):
        begin_from_generator(trainer, before.G_ema, with_classes=False)
