"""Dropout repeats itself: with the same seed, after a checkpoint, and whatever else has drawn."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from synthface.recognition.training.config import TrainingConfig
from synthface.recognition.training.trainer import Trainer, TrainingData


class _Dropping(torch.nn.Module):
    """A student whose loss shows which numbers were dropped."""

    def __init__(self):
        super().__init__()
        self.network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 64), torch.nn.Dropout(0.4))
        torch.nn.init.constant_(self.network[1].weight, 0.01)
        torch.nn.init.constant_(self.network[1].bias, 1.0)
        self.head = None

    def forward(self, images, labels, teacher, attributes=None):
        loss = self.network(images.contiguous()).square().mean()
        return loss, loss, loss


def _trainer(seed=0, rank=0):
    data = TrainingData(np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), dtype=np.uint8), np.arange(12))
    setup = {"setup": lambda *modules: modules, "backward": torch.Tensor.backward}
    fabric = SimpleNamespace(world_size=1, global_rank=rank, device="cpu", **setup)
    return Trainer(fabric, _Dropping(), data, TrainingConfig(epochs=3, batch=4, lr=0.01, augment="none", seed=seed))


def _losses(trainer):
    return [step.loss for step in trainer.run_epoch()]


def test_a_resumed_run_drops_what_the_whole_one_drops():
    whole, stopped, resumed = _trainer(), _trainer(), _trainer()
    expected = [_losses(whole) for _ in range(3)]
    assert _losses(stopped) == expected[0]
    torch.rand(17)  # somebody else draws
    resumed.load_state_dict(stopped.state_dict())
    assert [_losses(resumed) for _ in range(2)] == expected[1:]


@pytest.mark.parametrize("other", [{"seed": 1}, {"rank": 1}])
def test_another_seed_and_another_process_drop_otherwise(other):
    assert _losses(_trainer()) != _losses(_trainer(**other))


def test_steps_drop_differently_and_nothing_is_left_behind():
    dropped = []
    trainer = _trainer()
    trainer.student.network.register_forward_hook(lambda _, __, out: dropped.append(out == 0))
    state = torch.random.get_rng_state()
    _losses(trainer)
    assert not torch.equal(dropped[0], dropped[1])
    assert 0.2 < dropped[0].float().mean() < 0.6
    assert torch.equal(torch.random.get_rng_state(), state)
