"""Muon: its matrices against singular values in float64, its steps against torch's own optimisers."""

import copy

import pytest
import torch

from synthface.recognition.training.muon import A, B, C, Muon, orthogonalised


def _random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _descend(parameters, optimizer, steps, *, first=0):
    for step in range(first, first + steps):
        for k, parameter in enumerate(parameters):
            parameter.grad = _random(*parameter.shape, seed=100 * step + k).to(parameter.dtype)
        optimizer.step()


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8), (1, 5, 5), (4, 1, 9)])
def test_singular_values_go_through_the_polynomial_five_times_and_vectors_stay(shape):
    matrices = _random(*shape).double()
    u, s, v = torch.linalg.svd(matrices, full_matrices=False)
    s = s / s.norm(dim=1, keepdim=True)
    for _ in range(5):
        s = A * s + B * s**3 + C * s**5
    torch.testing.assert_close(orthogonalised(matrices), u * s[:, None] @ v, rtol=1e-9, atol=1e-9)
    single = orthogonalised(matrices.float()).double()
    assert (single - orthogonalised(matrices)).abs().max() < 1e-3


def test_singular_values_come_near_to_one():
    values = torch.linalg.svdvals(orthogonalised(_random(6, 64, 288)))
    assert values.min() > 0.6
    assert values.max() < 1.25


def test_nothing_is_divided_by_a_gradient_of_zero():
    assert torch.equal(orthogonalised(torch.zeros(1, 3, 4)), torch.zeros(1, 3, 4))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon of its own")
@pytest.mark.parametrize("shape", [(24, 40), (40, 24)])
def test_a_matrix_steps_as_in_torchs_muon(shape):
    ours, theirs = (torch.nn.Parameter(_random(*shape)) for _ in range(2))
    _descend([ours], Muon([ours], [], lr=0.05, weight_decay=0.1), 10)
    _descend([theirs], torch.optim.Muon([theirs], lr=0.05, weight_decay=0.1), 10)
    moved = (theirs - _random(*shape)).norm()
    assert (ours - theirs).norm() < 0.01 * moved  # torch computes in bfloat16


def test_a_kernel_steps_as_the_matrix_of_its_rows_in_any_memory_layout():
    kernel = torch.nn.Parameter(_random(12, 4, 3, 3))
    beside = torch.nn.Parameter(_random(12, 4, 3, 3, seed=9))  # goes through the same products
    last = torch.nn.Parameter(_random(12, 4, 3, 3).to(memory_format=torch.channels_last))
    matrix = torch.nn.Parameter(_random(12, 36))
    for step in range(3):
        gradient = _random(12, 4, 3, 3, seed=step + 1)
        kernel.grad, last.grad, matrix.grad = gradient, gradient.clone(), gradient.flatten(1)
        beside.grad = _random(12, 4, 3, 3, seed=step + 50)
        if step == 0:
            optimizers = [Muon([kernel, beside], [], lr=0.1), Muon([last], [], lr=0.1), Muon([matrix], [], lr=0.1)]
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(kernel.flatten(1), matrix, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(last.flatten(1), matrix, rtol=1e-5, atol=1e-5)


def test_the_rest_steps_as_in_torchs_adam_at_a_tenth_of_the_rate():
    ours, theirs = ([torch.nn.Parameter(_random(7)), torch.nn.Parameter(_random(5, 3))] for _ in range(2))
    _descend(ours, Muon([], ours, lr=0.1, weight_decay=0.5), 6)
    _descend(theirs, torch.optim.Adam(theirs, lr=0.01, betas=(0.9, 0.95)), 6)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_saved_state_goes_on_exactly():
    def begin():
        parameters = [torch.nn.Parameter(_random(6, 2, 3, 3)), torch.nn.Parameter(_random(6))]
        return parameters, Muon(parameters[:1], parameters[1:], lr=0.1, weight_decay=0.01)

    whole, optimizer = begin()
    _descend(whole, optimizer, 5)
    (first, stopped), (second, resumed) = begin(), begin()
    _descend(first, stopped, 3)
    for there, here in zip(second, first, strict=True):
        there.data.copy_(here)
    resumed.load_state_dict(copy.deepcopy(stopped.state_dict()))
    _descend(second, resumed, 2, first=3)
    assert all(torch.equal(a, b) for a, b in zip(whole, second, strict=True))


def test_what_has_no_gradient_stays():
    still, moving = torch.nn.Parameter(_random(4, 4)), torch.nn.Parameter(_random(4, 4))
    optimizer = Muon([still, moving], [], lr=0.1)
    moving.grad = torch.ones(4, 4)
    optimizer.step()
    assert torch.equal(still, _random(4, 4))
    assert not torch.equal(moving, _random(4, 4))
