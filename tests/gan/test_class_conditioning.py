"""Class labels: the transition from unconditional to conditional, labels at scale, and how classes are drawn."""

import copy
import math
import tracemalloc

import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F

from gan.config import NetworkConfig, TrainingConfig, TransitionConfig
from gan.networks.discriminator import Discriminator
from gan.networks.generator import Generator
from gan.networks.mapping import ClassEmbedding, Mapping, set_class_strength
from gan.training.batches import BatchSource
from gan.training.ema import averaged_copy, update_average
from synthface.core.errors import ConfigError

NETWORK = NetworkConfig(resolution=8, z_dim=4, w_dim=4, channel_base=32, channel_max=8)


def _pair() -> tuple[Generator, Discriminator]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Generator(NETWORK, 3), Discriminator(NETWORK, 3)


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_schedule() -> None:
    transition = TransitionConfig(start_kimg=10, end_kimg=30)
    assert [transition.strength(seen) for seen in (0, 10_000, 15_000, 30_000, 99_000)] == [0, 0, 0.25, 1, 1]
    assert TransitionConfig().strength(0) == 1
    for start, end in ((5, 4), (-1, 4)):
        with pytest.raises(ConfigError, match="transition"):
            TransitionConfig(start_kimg=start, end_kimg=end)


def test_at_no_strength_both_networks_are_unconditional() -> None:
    G, D = _pair()
    z, images = _random(1, 4).expand(3, 4), _random(4, 3, 8, 8)
    for module in (G, D):
        set_class_strength(module, 0.0)
    fakes = G(z, torch.tensor([0, 1, 2]))
    assert torch.equal(fakes[0], fakes[1])
    assert torch.equal(fakes[0], fakes[2])
    logits = [D(images, torch.full((4,), k)) for k in range(3)]
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2])


def test_an_unconditional_discriminator_is_not_dead() -> None:
    """Multiplying the embedding by zero would make every logit, and the gradient at the images, zero."""
    _, D = _pair()
    set_class_strength(D, 0.0)
    images = _random(4, 3, 8, 8).requires_grad_(True)
    logits = D(images, torch.zeros(4, dtype=torch.int64))
    logits.sum().backward()
    assert images.grad is not None
    assert logits.std() > 1e-3
    assert images.grad.abs().max() > 1e-4


def test_classes_get_a_gradient_in_proportion_to_the_strength() -> None:
    mapping = Mapping(4, 3, 4, 2, class_scale=1.0)
    gradients = {}
    for strength in (0.0, 0.5):
        set_class_strength(mapping, strength)
        mapping.zero_grad()
        mapping(_random(2, 4), mapping.class_embedding(torch.tensor([0, 1]))).sum().backward()
        assert mapping.embed is not None
        gradients[strength] = mapping.embed.weight.grad
    assert gradients[0.0] is None or not gradients[0.0].any()
    assert gradients[0.5] is not None
    assert gradients[0.5].any()


def test_at_full_strength_the_network_is_the_plain_one_to_the_last_bit() -> None:
    G, _ = _pair()
    z, labels = _random(3, 4), torch.tensor([2, 0, 1])
    before = G(z, labels)
    embedding = G.mapping.class_embedding(labels)
    assert embedding is not None
    plain = torch.cat([x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt() for x in (z, embedding)], dim=1)
    for layer in G.mapping.layers:
        plain = layer(plain)
    assert torch.equal(G.mapping(z, embedding), plain)
    set_class_strength(G, 0.3)
    assert not torch.equal(G(z, labels), before)
    set_class_strength(G, 1.0)
    assert torch.equal(G(z, labels), before)


def test_the_strength_is_not_saved_but_the_average_shows_it() -> None:
    G, _ = _pair()
    average = averaged_copy(G)
    set_class_strength(G, 0.25)
    assert not any("class_strength" in name for name in G.state_dict())
    update_average(average, G, 0.5)
    assert average.mapping.class_strength.item() == 0.25
    again = copy.deepcopy(_pair()[0])
    again.load_state_dict(G.state_dict())
    assert again.mapping.class_strength.item() == 1


def test_a_hundred_thousand_classes_equal_the_one_hot_formula_without_its_memory() -> None:
    n_classes, dim, n = 100_000, 8, 64
    embedding = ClassEmbedding(n_classes, dim, scale=0)
    labels = torch.randint(n_classes, (n,), generator=torch.Generator().manual_seed(0))
    labels[:2] = torch.tensor([0, n_classes - 1])
    expected = F.one_hot(labels, n_classes).float() @ (embedding.weight / math.sqrt(n_classes)) + embedding.bias
    tracked = _peak_bytes(lambda: embedding(labels))
    torch.testing.assert_close(embedding(labels), expected)
    assert tracked < n * n_classes // 100  # a one-hot matrix would take 4 n n_classes bytes


def _peak_bytes(function) -> int:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        function()
    return sum(max(0, event.self_cpu_memory_usage) for event in profiled.key_averages())


def _source(labels: np.ndarray, sampling: str, **changes: int) -> BatchSource:
    config = TrainingConfig(batch=500, micro_batch=500, sampling=sampling, **changes)  # type: ignore[arg-type]
    pixels = np.broadcast_to(np.zeros((1, 1, 1, 3), np.uint8), (len(labels), 1, 1, 3))
    return BatchSource(pixels, labels, config, seed=0)


@pytest.mark.parametrize(("sampling", "exponent"), [("natural", 1.0), ("sqrt", 0.5), ("balanced", 0.0)])
def test_classes_are_drawn_in_the_stated_proportion(sampling: str, exponent: float) -> None:
    counts = np.array([5, 20, 100, 400, 475])
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(5), counts))
    source = _source(labels, sampling)
    expected = counts**exponent / (counts**exponent).sum()
    steps = range(40)
    fake = torch.cat([source.micro_batch(step, 0, "generator").fake_labels for step in steps]).numpy()
    assert scipy.stats.chisquare(np.bincount(fake, minlength=5), expected * len(fake)).pvalue > 1e-3
    real = labels[np.concatenate([source.rows(step, 0) for step in steps])]
    if sampling == "natural":  # without replacement: exact over whole epochs
        assert np.bincount(real, minlength=5).tolist() == (counts * 20).tolist()
    else:
        assert scipy.stats.chisquare(np.bincount(real, minlength=5), expected * len(real)).pvalue > 1e-3
    assert fake.dtype == np.int64


def test_labels_stay_indices_with_a_hundred_thousand_classes() -> None:
    labels = np.arange(100_000, dtype=np.int64)
    source = _source(labels, "balanced")
    tracemalloc.start()
    batch = source.micro_batch(0, 0, "discriminator")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert batch.labels.dtype == batch.fake_labels.dtype == torch.int64
    assert batch.fake_labels.max() > 50_000
    assert peak < 20e6  # one epoch's order, not 500 rows of 100,000
