"""Simulated quantisation against torch's own, and the watched ranges."""

import pytest
import torch
from torch.nn import functional as F

from synthface.core.errors import ConfigError
from synthface.recognition.quantisation import ActivationQuantiser, fake_quantise, quantise_weight


@pytest.mark.parametrize("bits", [3, 4, 6, 8])
def test_weights_are_rounded_as_torch_rounds_them(bits):
    w = torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(0)) + 0.3
    flat = w.flatten(1)
    scale = (2**bits - 1) / (flat.amax(1) - flat.amin(1))
    zero = -(torch.round(scale * flat.amin(1)) + 2 ** (bits - 1))
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    expected = torch.fake_quantize_per_channel_affine(w, 1 / scale, zero.int(), 0, low, high)
    got = quantise_weight(w, bits)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)
    step = (1 / scale).view(-1, 1, 1, 1)
    assert ((got - w).abs() <= step).all()
    assert max(len(channel.round(decimals=5).unique()) for channel in got) <= 2**bits
    torch.testing.assert_close(fake_quantise(got, *_range(w), bits), got, rtol=1e-5, atol=1e-6)


def _range(w):
    flat = w.flatten(1)
    return flat.amin(1).view(-1, 1, 1, 1), flat.amax(1).view(-1, 1, 1, 1)


def test_error_falls_with_bits_and_the_gradient_passes():
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)).requires_grad_()
    low, high = torch.tensor(-2.0), torch.tensor(2.0)
    errors = [(fake_quantise(x, low, high, bits) - x.clamp(-2, 2)).abs().mean().item() for bits in (2, 3, 4, 6, 8)]
    assert errors == sorted(errors, reverse=True)
    assert torch.autograd.grad(fake_quantise(x, low, high, 4).sum(), x)[0].eq(1).all()
    assert fake_quantise(torch.zeros(1), low, high, 4).item() == 0
    cosine = F.cosine_similarity(quantise_weight(x.detach().view(10, 100), 8), x.detach().view(10, 100)).min()
    assert cosine > 0.9998
    with pytest.raises(ConfigError, match="bits"):
        fake_quantise(x, low, high, 1)


def test_ranges_are_watched_frozen_and_kept():
    quantiser = ActivationQuantiser(8, freeze_after=2)
    quantiser(torch.tensor([1.0, 2.0]))
    assert (quantiser.low.item(), quantiser.high.item()) == (0.0, 2.0)
    quantiser(torch.tensor([-1.0, 1.0]))
    quantiser(torch.tensor([9.0]))  # too late
    assert (quantiser.low.item(), quantiser.high.item(), int(quantiser.step)) == (-1.0, 2.0, 2)
    again = ActivationQuantiser(8, freeze_after=2)
    again.load_state_dict(quantiser.state_dict())
    x = torch.linspace(-1, 2, 50)
    assert torch.equal(again(x), quantiser(x))
    fresh = ActivationQuantiser(8).eval()
    fresh(x)
    assert fresh.high.item() == 0  # looking does not count
