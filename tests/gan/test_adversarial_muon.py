"""Muon in adversarial training: its kernels against singular values, their length and all the rest against Adam."""

import copy

import pytest
import torch
from torch import nn

from gan.muon import AdversarialMuon

LR, BETA = 0.01, 0.9


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(_random(12, 4, 3, 3).to(memory_format=torch.channels_last))
        self.twin = nn.Parameter(_random(12, 4, 3, 3, seed=1))
        self.pointwise = nn.Parameter(_random(3, 8, 1, 1, seed=2))
        self.matrix = nn.Parameter(_random(6, 5, seed=3))
        self.bias = nn.Parameter(_random(7, seed=4))
        self.unused = nn.Parameter(_random(4, 4, 3, 3, seed=5))


def _random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _descend(net, optimizer, steps, *, first=0, scale=1.0):
    for step in range(first, first + steps):
        for k, (name, parameter) in enumerate(net.named_parameters()):
            parameter.grad = None if name == "unused" else scale * _random(*parameter.shape, seed=100 * step + k + 10)
        optimizer.step()


def test_everything_but_kernels_steps_as_in_torchs_adam_without_momentum():
    ours, theirs = Net(), Net()
    _descend(ours, AdversarialMuon(ours, lr=LR, beta2=BETA), 6)
    _descend(theirs, torch.optim.Adam(theirs.parameters(), lr=LR, betas=(0.0, BETA)), 6)
    for name in ("pointwise", "matrix", "bias", "unused"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(ours.kernel, theirs.kernel, atol=1e-3)


def test_a_kernel_steps_equally_far_in_all_directions():
    net = Net()
    _descend(net, AdversarialMuon(net, lr=LR, beta2=BETA), 1)
    for k, name in enumerate(("kernel", "twin")):
        first = Net()
        step = (getattr(first, name) - getattr(net, name)).detach().flatten(1)
        u, _, v = torch.linalg.svd(_random(12, 4, 3, 3, seed=k + 10).flatten(1), full_matrices=False)
        inside = u.T @ step @ v.T / (LR * 36**0.5)
        assert (inside - torch.diag(inside.diagonal())).abs().max() < 1e-3
        assert inside.diagonal().min() > 0.6
        assert inside.diagonal().max() < 1.25


def test_only_the_proportion_of_gradients_counts():
    small, large = Net(), Net()
    _descend(small, AdversarialMuon(small, lr=LR, beta2=BETA), 3)
    _descend(large, AdversarialMuon(large, lr=LR, beta2=BETA), 3, scale=100.0)
    torch.testing.assert_close(small.kernel, large.kernel, rtol=1e-4, atol=1e-5)


def test_a_gradient_below_the_usual_moves_less_and_one_above_no_further_than_usual():
    moved = {}
    for scale in (0.01, 1.0, 100.0):
        net = Net()
        optimizer = AdversarialMuon(net, lr=LR, beta2=0.99)
        _descend(net, optimizer, 30)
        before = net.kernel.detach().clone()
        _descend(net, optimizer, 1, first=30, scale=scale)
        moved[scale] = (net.kernel - before).norm().item()
    assert moved[0.01] == pytest.approx(0.01 * moved[1.0], rel=0.1)
    assert moved[1.0] <= moved[100.0] < 1.2 * moved[1.0]


def test_a_gradient_of_zero_moves_nothing():
    net = Net()
    optimizer = AdversarialMuon(net, lr=LR, beta2=BETA)
    _descend(net, optimizer, 1, scale=0.0)
    for name, parameter in Net().named_parameters():
        assert torch.equal(parameter, getattr(net, name))


def test_a_saved_state_goes_on_exactly():
    whole, first, second = Net(), Net(), Net()
    _descend(whole, AdversarialMuon(whole, lr=LR, beta2=BETA), 5)
    stopped, resumed = (AdversarialMuon(net, lr=LR, beta2=BETA) for net in (first, second))
    _descend(first, stopped, 3)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(copy.deepcopy(stopped.state_dict()))
    _descend(second, resumed, 2, first=3)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))
