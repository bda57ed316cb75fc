"""Sampled class centres: the same as all of them at rate 1, bounded memory at a million classes."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from synthface.core.errors import ConfigError
from synthface.recognition.losses import LOSSES
from synthface.recognition.losses.centre_table import CentreTable
from synthface.recognition.losses.class_centres import ClassCentres

N_CLASSES, DIM = 40, 6
RECIPE = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3}


def _batch(n_classes, n=8, dim=DIM):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, dim, generator=generator), torch.randint(n_classes, (n,), generator=generator)


def _sampled(name, rate, **options):
    head = LOSSES[name](N_CLASSES, DIM, seed=1, **options)
    shape = tuple(head.weight.shape)
    head.centres = CentreTable(shape, 1, rate=rate)
    return head


@pytest.mark.parametrize("name", ["softmax", "cosface", "arcface", "subcenter-arcface", "magface", "gb-cosface"])
def test_rate_one_trains_as_the_full_softmax(name):
    full, sampled = LOSSES[name](N_CLASSES, DIM, seed=1).double(), _sampled(name, 1.0).double()
    assert isinstance(full.centres, ClassCentres)
    optimizer = torch.optim.SGD(full.parameters(), **RECIPE)
    x, y = _batch(N_CLASSES)
    x = x.double()
    for _ in range(4):
        values, gradients = [], []
        for head in (full, sampled):
            leaf = x.clone().requires_grad_()
            loss = head(leaf, y)
            optimizer.zero_grad()
            loss.backward()
            values.append(loss.item())
            gradients.append(leaf.grad)
            if head is full:
                optimizer.step()
        sampled.centres.update(**RECIPE)
        assert values[0] == pytest.approx(values[1], rel=1e-6)
        torch.testing.assert_close(*gradients)
        torch.testing.assert_close(full.weight.detach(), sampled.weight, rtol=1e-5, atol=1e-7)


def test_a_sample_holds_the_batch_and_is_seeded():
    centres, again = CentreTable((1000, DIM), 3, rate=0.05), CentreTable((1000, DIM), 3, rate=0.05)
    _, y = _batch(1000)
    samples = []
    for _ in range(3):
        active, columns = centres(y)
        assert torch.equal(active.detach()[columns.y], centres.weight[y])
        assert len(active) == 50 == len(centres._taking_part.unique())
        samples.append(centres._taking_part.tolist())
    assert samples[0] != samples[1]
    again.load_state_dict(centres.state_dict() | {"step": torch.tensor(2)})
    again(y)
    assert again._taking_part.tolist() == samples[2]
    crowded = CentreTable((1000, DIM), 0, rate=0.001)
    assert len(crowded(y)[0]) == len(y.unique())  # never fewer than the batch shows
    seen = torch.zeros(1000)
    for _ in range(400):
        centres(y)
        seen[centres._taking_part] += 1
    others = seen[~torch.isin(torch.arange(1000), y)]
    assert others.min() > 4  # 17 expected: every class has its turn
    assert others.max() < 40


def test_an_update_touches_the_sample_alone_and_needs_a_gradient():
    head = _sampled("cosface", 0.3)
    before = head.weight.clone()
    x, y = _batch(N_CLASSES)
    head(x, y).backward()
    rows = head.centres._taking_part
    head.centres.update(**RECIPE)
    moved = (head.weight != before).any(dim=1)
    assert torch.equal(moved.nonzero()[:, 0], rows)
    with pytest.raises(RuntimeError, match="before"):
        head.centres.update(**RECIPE)
    with pytest.raises(ConfigError, match="sample_rate"):
        CentreTable((4, 4), 0, rate=1.5)


class _LargestResult(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation allocates."""

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = {part.untyped_storage().data_ptr() for part in args if isinstance(part, torch.Tensor)}
        for part in torch.utils._pytree.tree_leaves(result):
            if isinstance(part, torch.Tensor) and part.untyped_storage().data_ptr() not in given:
                self.largest = max(self.largest, part.numel())
        return result


@pytest.mark.parametrize("name", ["cosface", "arcface", "magface"])
def test_a_step_on_a_million_classes_allocates_no_more_than_its_sample(name):
    n_classes, dim, batch = 1_000_000, 4, 16
    head = LOSSES[name](n_classes, dim, sample_rate=0.001, seed=0)
    x, y = _batch(n_classes, batch, dim)
    x.requires_grad_()
    before = head.weight[y].clone()
    with _LargestResult() as seen:
        loss = head(x, y)
        loss.backward()
        head.centres.update(**RECIPE)
    assert torch.isfinite(loss)
    assert not torch.equal(head.weight[y], before)
    assert seen.largest <= 1000 * max(batch, dim)  # logits of the sample; the table itself has 4,000,000 numbers
