"""Our PReLU beside torch's: same values, same gradients, also of gradients."""

import pytest
import torch

from synthface.recognition.networks.prelu import PReLU


@pytest.mark.parametrize(("channels", "shape"), [(8, (5, 8, 7, 6)), (1, (5, 8, 7, 6)), (6, (4, 6))])
def test_values_and_gradients_are_torchs(channels, shape):
    generator = torch.Generator().manual_seed(0)
    ours = PReLU(channels).double()
    torch.nn.init.uniform_(ours.weight, -1, 1, generator=generator)
    theirs = torch.nn.PReLU(channels).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    x.view(-1)[:3] = 0.0
    gradient = torch.randn(shape, generator=generator, dtype=torch.float64)
    found = []
    for module in (ours, theirs):
        mine = x.clone().requires_grad_()
        out = module(mine)
        found.append((out, *torch.autograd.grad(out, (mine, module.weight), gradient)))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_it_can_be_differentiated_twice():
    module, x = PReLU(3).double(), torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)

    def call(x, weight):
        return torch.func.functional_call(module, {"weight": weight}, (x,))

    assert torch.autograd.gradcheck(call, (x, module.weight))
    assert torch.autograd.gradgradcheck(call, (x, module.weight))


def test_without_a_need_for_the_slopes_gradient_the_images_still_get_theirs():
    module = PReLU(3).requires_grad_(False)
    x = torch.tensor([[-2.0, 1.0, -1.0]], requires_grad=True)
    module(x).sum().backward()
    assert x.grad.tolist() == [[0.25, 1.0, 0.25]]
